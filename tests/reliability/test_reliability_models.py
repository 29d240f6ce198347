"""Models and cards that were changed or made by somebody else: refused, and the message names the field."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.detection.blazeface import WEIGHTS, BlazeFace
from mien.errors import CardError, ModelError
from mien.files import sha256_file
from mien.models import registry
from mien.models.card import read_card
from mien.models.onnx import OnnxModel
from mien.models.registry import FOLDER, find_model
from mien.models.runtime import open_session, run_session

CARD = json.loads((FOLDER / "mien-tiny.json").read_text(encoding="utf-8"))
DEEP = "[" * 100_000

BROKEN: list[tuple[str, Any]] = [
    ("heads[0].temperature", 0),
    ("heads[0].temperature", -1.0),
    ("heads[0].temperature", float("nan")),
    ("heads[1].temperature", "1"),
    ("heads[0].labels", ["happy", "happy"]),
    ("heads[0].labels", []),
    ("heads[0].conformal", {"0.90": 7}),
    ("heads[0].certain_margin", 2),
    ("heads[1].abstain", ["no such label"]),
    ("heads[0].name", 3),
    ("framing.width", 0),
    ("framing.x", float("inf")),
    ("framing.height", None),
    ("default_head", "none"),
    ("input_size", 1_000_000),
    ("input_size", 48.5),
    ("mean", "0.5"),
    ("sha256", "abc"),
    ("figures", []),
    ("notes", [1]),
    ("format", 99),
    ("limits", {"beauty": [0, 1]}),
    ("limits", {"size": 17}),
    ("limits", {"size": [17, "much"]}),
    ("surprise", 1),
]


def _write(folder: Path, field: str, value: Any) -> Path:
    card = json.loads(json.dumps(CARD))
    place = card
    *above, last = field.replace("[", ".").replace("]", "").split(".")
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    path = folder / "card.json"
    path.write_text(json.dumps(card), encoding="utf-8")
    return path


@pytest.mark.parametrize(("field", "value"), BROKEN, ids=lambda value: str(value)[:30])
def test_a_card_with_an_impossible_value_is_refused_and_the_field_is_named(
    tmp_path: Path, field: str, value: Any
) -> None:
    with pytest.raises(CardError) as raised:
        read_card(_write(tmp_path, field, value))
    assert field in str(raised.value)


@pytest.mark.parametrize("name", ["mien-tiny", "mien-lite0"])
def test_the_cards_that_ship_are_valid(name: str) -> None:
    assert read_card(FOLDER / f"{name}.json").name == name


@pytest.mark.parametrize("field", ["heads", "sha256", "input_size", "default_head"])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps({name: value for name, value in CARD.items() if name != field}))
    with pytest.raises(CardError, match=f"{field} is missing"):
        read_card(path)


@pytest.mark.parametrize("text", [DEEP, "[]", "null", "{", '{"heads": 3}', ""])
def test_text_that_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(CardError, match="not a card"):
        read_card(path)


def _one_bit(source: Path, to: Path, at: int) -> Path:
    data = bytearray(source.read_bytes())
    data[at % len(data)] ^= 1
    to.write_bytes(data)
    return to


@pytest.mark.parametrize("at", [100_000, 200_003, -1000])
def test_one_bit_of_the_detector_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    shutil.copy(WEIGHTS.with_suffix(".json"), tmp_path)
    shutil.copy(WEIGHTS.parent / registry.HASHES, tmp_path)
    weights = _one_bit(WEIGHTS, tmp_path / WEIGHTS.name, at)
    with pytest.raises(CardError, match="not the file that its card describes"):
        BlazeFace(weights=weights)
    shutil.copy(WEIGHTS, tmp_path)
    BlazeFace(weights=weights)


@pytest.mark.parametrize("name", ["mien-lite0", "blazeface-back"])
@pytest.mark.parametrize("change", [0, 1, 40, 300, -2, "value", "absent"])
def test_any_change_of_a_card_that_ships_is_noticed(
    name: str, change: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that makes another digit of a temperature or a licence was accepted."""

    def load() -> object:
        return (
            find_model(name) if name.startswith("mien") else registry.expected_hash(tmp_path / f"{name}.onnx")
        )

    for path in (FOLDER / f"{name}.onnx", FOLDER / f"{name}.json", FOLDER / registry.HASHES):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    load()
    card = tmp_path / f"{name}.json"
    if isinstance(change, int):
        _one_bit(card, card, change)
    elif change == "value":
        card.write_text(card.read_text(encoding="utf-8").replace("Apache-2.0", "MIT"), encoding="utf-8")
    else:
        (tmp_path / registry.HASHES).unlink()
    with pytest.raises(CardError, match="Install mien again"):
        load()


def test_the_hashes_of_the_cards_are_those_of_the_files() -> None:
    lines = (FOLDER / registry.HASHES).read_text().splitlines()
    assert lines == [f"{sha256_file(path)}  {path.name}" for path in sorted(FOLDER.glob("*.json"))]


def test_one_bit_of_a_classifier_is_noticed(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "mien-tiny.json", tmp_path)
    path = _one_bit(FOLDER / "mien-tiny.onnx", tmp_path / "mien-tiny.onnx", 50_001)
    with pytest.raises(CardError, match="SHA-256"):
        find_model(path, verify=True)


def test_weights_in_another_file_are_refused_even_beside_the_model(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    weights = onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [64, 64])],
        [helper.make_tensor_value_info("y", 1, [64, 64])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "inside.onnx")
    onnx.save_model(
        model, tmp_path / "outside.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    assert (tmp_path / "w.bin").exists()
    open_session(tmp_path / "inside.onnx")
    with pytest.raises(ModelError, match="cannot open"):
        open_session(tmp_path / "outside.onnx")


def test_an_error_while_a_model_runs_is_a_model_error() -> None:
    session = open_session(FOLDER / "mien-tiny.onnx")
    with pytest.raises(ModelError, match="the model failed in ONNX Runtime"):
        run_session(session, ["votes"], {"pixels": np.zeros((1, 3), np.uint8)}, "the model")
    assert OnnxModel("mien-tiny").predict(np.zeros((1, 48, 48), np.uint8))["votes"].shape == (1, 10)
