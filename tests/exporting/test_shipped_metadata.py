"""The files of weights that ship hold the JSON beside them, written by `scripts/embed_metadata.py`."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from mien.exporting.metadata import metadata_of
from mien.models.card import read_card
from mien.models.registry import FOLDER, shipped


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.onnx")), ids=lambda path: path.stem)
def test_a_shipped_file_holds_the_facts_of_its_json(path: Path) -> None:
    """Somebody who has the file without its JSON knows the labels, the input, the licence and the source."""
    found = {each.key: each.value for each in onnx.load(path).metadata_props}
    facts = path.with_suffix(".json")
    if path.stem in shipped():
        assert found == metadata_of(read_card(facts)), "run scripts/embed_metadata.py"
        return
    expected = json.loads(facts.read_text(encoding="utf-8"))
    del expected["sha256"]
    assert set(found) == set(expected), "run scripts/embed_metadata.py"
    for name, value in expected.items():
        assert (found[name] if isinstance(value, str) else json.loads(found[name])) == value, name
