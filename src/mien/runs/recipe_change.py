"""``--set section.key=value``: one change to a recipe's raw values."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from mien.errors import RecipeError
from mien.runs import toml as typed

if TYPE_CHECKING:
    from mien.runs.recipe import Key


def apply(raw: dict[str, Any], change: str, keys: tuple[Key, ...]) -> None:
    """Put one ``section.key=value`` into the raw values of a recipe; its section may be left out.

    Raises:
        RecipeError: not of that form, or a key that is in no section or in several.
    """
    key, equals, text = change.partition("=")
    if not equals:
        raise RecipeError(
            f"--set {change!r} is not of the form section.key=value, such as optimizer.lr=0.001."
        )
    section, dot, name = key.strip().rpartition(".")
    if not dot:
        section = _section_of(name, keys)
    table = raw.setdefault(section, {}) if section else raw
    if not isinstance(table, dict):
        raise RecipeError(f"--set {change!r}: {section!r} is a key, not a section with keys.")
    wants_text = any(entry.path == f"{section}.{name}".lstrip(".") and entry.kind is str for entry in keys)
    table[name] = _parsed(text.strip(), wants_text=wants_text)


def _parsed(text: str, *, wants_text: bool) -> Any:
    """The value of a TOML literal; a bare word is text, and so is anything where text is wanted."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if wants_text and not isinstance(value, str) else value


def _section_of(name: str, keys: tuple[Key, ...]) -> str:
    """The one section that has a key, so that ``epochs=5`` need not say ``schedule.epochs=5``."""
    homes = [entry for entry in keys if entry.name == name]
    if any(not entry.section for entry in homes) or len(homes) == 1:
        return homes[0].section
    if homes:
        choices = " or ".join(entry.path for entry in homes)
        raise RecipeError(f"{name!r} is in several sections of a recipe; say {choices}.")
    raise RecipeError(f"unknown recipe key {name!r}.{typed.nearest(name, [entry.name for entry in keys])}")
