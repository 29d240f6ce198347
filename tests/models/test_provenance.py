"""The register of provenance names everything that ships, and agrees with the cards and the page."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from mien.models.registry import FOLDER, find_model, shipped

ITEMS = json.loads((files("mien.models") / "provenance.json").read_text(encoding="utf-8"))["items"]
PAGE = Path(__file__).parents[2] / "docs" / "provenance.md"


def test_every_shipped_file_is_in_the_register() -> None:
    assert {item["name"] for item in ITEMS if item["in_the_wheel"]} == {
        path.stem for path in FOLDER.glob("*.onnx")
    }


def test_every_entry_is_complete_and_used() -> None:
    keys = {"name", "kind", "used_for", "in_the_wheel", "source", "terms", "allows", "unsettled"}
    shipped_names = {path.stem for path in FOLDER.glob("*.onnx")}
    for item in ITEMS:
        assert set(item) == keys
        assert all(item[key] for key in keys - {"in_the_wheel"})
        assert set(item["used_for"]) <= shipped_names


def test_the_terms_are_those_of_the_cards() -> None:
    terms = {item["name"]: item["terms"] for item in ITEMS}
    for name in shipped():
        licence = find_model(name).card.licence
        assert licence.split()[0] == terms[name].split(",")[0].split()[0]


def test_every_source_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for item in ITEMS:
        assert item["name"].removesuffix("-back").lower() in page.lower(), item["name"]
