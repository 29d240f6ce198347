"""The documentation is complete and true: commands, options, recipes, errors, packages, links."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
import yaml

import mien
from mien import errors
from mien.cli.app import app
from mien.models.card import Card

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])


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


def _errors() -> list[type[errors.MienError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in kinds if issubclass(kind, errors.MienError)]


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


def test_the_table_of_exit_codes_is_up_to_date() -> None:
    """`make docs` writes it."""
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    assert page == _script("write_cli_docs").exit_codes()


def test_every_error_has_a_row_with_its_exit_code() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    rows = {
        name: int(code) for code, name in re.findall(r"^\| (\d+) \| (?:&nbsp;)*`(\w+)`", page, re.MULTILINE)
    }
    assert rows == {kind.__name__: kind.exit_code for kind in _errors()}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_map_of_packages_is_made_from_the_contracts(page: str) -> None:
    """`make docs` writes it."""
    script = _script("write_map")
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "map: made by `make docs`" in text
    assert text == script.filled(text, script.section(ROOT / page))


def test_every_package_and_module_has_a_floor_in_the_contracts() -> None:
    """A new package cannot escape the contract, and the map names nothing that is gone."""
    floors = {name for floor in _script("write_map").floors() for name in floor}
    inside = (ROOT / "src" / "mien").iterdir()
    real = {p.stem for p in inside if p.suffix == ".py" or (p / "__init__.py").is_file()} - {"__init__"}
    assert floors == {f"mien.{name}" for name in real}


def test_the_map_has_a_sentence_for_every_package() -> None:
    script = _script("write_map")
    for floor in script.floors():
        for package in floor:
            assert re.fullmatch(r"[A-Z`].{10,}\.", script.sentence(package)), package


@pytest.mark.parametrize("folder", ["scripts", "benchmarks", "notebooks"])
def test_scripts_and_benchmarks_import_nothing_from_the_command_line(folder: str) -> None:
    """The library is the product. Only the page of the command line is made from the command line."""
    for path in (ROOT / folder).rglob("*"):
        if path.suffix in (".py", ".ipynb") and path.name != "write_cli_docs.py":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(from|import) mien\.cli", text), path


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= set(citation)
    assert citation["version"] == mien.__version__
    assert citation["license"] == importlib.metadata.metadata("mien")["License-Expression"]


def test_the_glossary_has_every_key_of_a_card() -> None:
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    table = page.split("## The keys of a card")[1].split("\n## ")[0]
    keys = re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    assert keys == [entry.name for entry in dataclasses.fields(Card)]


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
    assert {kind.__name__ for kind in _errors()} <= set(drawn)
