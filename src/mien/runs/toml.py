"""Frozen dataclasses from plain values and back to TOML: what a recipe's file is read and written with."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mien.errors import RecipeError


def build(kind: Any, raw: Any, path: str = "") -> Any:
    """The dataclass `kind` of a nested mapping; what is not named keeps its default.

    Raises:
        RecipeError: an unknown key (the nearest one is named) or a value of the wrong kind.
    """
    if not isinstance(raw, Mapping):
        raise RecipeError(f"recipe section {path!r} must be a table of keys, not {raw!r}.")
    hints = get_type_hints(kind)
    values = {}
    for key, value in raw.items():
        name = f"{path}.{key}" if path else key
        if key not in hints:
            raise RecipeError(f"unknown recipe key {name!r}.{nearest(key, list(hints))}")
        nested = dataclasses.is_dataclass(hints[key])
        values[key] = build(hints[key], value, name) if nested else _value(hints[key], value, name)
    return kind(**values)


def nearest(key: str, known: list[str]) -> str:
    """A sentence that names the known key which `key` was meant to be, or all that there are."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."


def _value(kind: Any, value: Any, name: str) -> Any:
    """The value as its annotation wants it; of others only an int for a float and a list for a tuple pass."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
        raise RecipeError(f"{name} must be one of {', '.join(map(repr, arguments))}, not {value!r}.")
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(_value(k, v, name) for k, v in zip(kinds, value, strict=True))
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise RecipeError(f"{name} must be {describe(kind)}, not {value!r}.")


def describe(kind: Any) -> str:
    """What values an annotation takes, for people: ``"a list of (a whole number, text)"``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list of {describe(arguments[0])}"
    if origin is tuple:
        return f"({', '.join(map(describe, arguments))})"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(kind, str(kind))


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested plain values, one level of tables deep, as TOML."""
    plain = [f"{key} = {_literal(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for section, table in values.items():
        if isinstance(table, Mapping):
            plain += ["", f"[{section}]", *(f"{key} = {_literal(value)}" for key, value in table.items())]
    return "\n".join(plain) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return repr(value)


def _escaped(character: str) -> str:
    """One character of a basic string. Source: TOML 1.0, section "String"."""
    if character in '"\\':
        return "\\" + character
    control = ord(character) < 0x20 or ord(character) == 0x7F
    return f"\\u{ord(character):04x}" if control else character
