"""The documentation is complete and true: commands, options, recipes, errors, links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from mien import errors
from mien.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _commands(command: Any, path: str) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    found = [(path, command)]
    for name, child in children.items():
        found += _commands(child, f"{path} {name}")
    return found


ALL = _commands(typer.main.get_command(app), "mien")


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_command_and_option_explains_itself(path: str, command: Any) -> None:
    assert command.help, f"{path} has no help"
    for parameter in command.params:
        if parameter.name not in ("install_completion", "show_completion"):
            assert getattr(parameter, "help", None), f"{path} {parameter.opts} has no help"


def test_the_command_line_page_is_up_to_date() -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == _script("write_cli_docs").page()


@pytest.mark.parametrize("page", ["README.md", "docs/models.md", "docs/training.md"])
def test_what_pages_say_of_models_and_recipes_is_made_from_the_code(page: str) -> None:
    """`make docs` writes them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "made by `make docs`" in text
    assert text == _script("write_model_docs").filled(text)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"([A-Z]\w+)\s", (errors.__doc__ or "").split("The number")[0].split("purpose.", 1)[1])
    real = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.MienError)
    }
    assert real <= set(drawn)
