from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien import loading
from mien.data.table import FaceTable
from mien.emotions import FER2013, VOTES
from mien.errors import DataError, ExportError, ModelError, UnknownModel, UsageError
from mien.exporting import onnx as export_room
from mien.exporting.onnx import Exported, export_run
from mien.files import sha256_file
from mien.models.card import Framing, read_card
from mien.models.onnx import OnnxClassifier
from mien.models.registry import find_model
from mien.training.classifier import TorchClassifier, load_run
from mien.training.network.cost import count_parameters


def test_the_exported_model_says_what_the_run_says(exported: Exported, run: Path, table: FaceTable) -> None:
    faces = table.split("PublicTest").pixels
    for head in ("fer2013", "votes"):
        ours = OnnxClassifier(exported.onnx, head=head).predict(faces)
        np.testing.assert_allclose(ours, TorchClassifier(run, head=head).predict(faces), atol=1e-5)


def test_the_proof_covers_the_whole_split_and_stands_in_the_card(exported: Exported) -> None:
    proof = read_card(exported.onnx.with_suffix(".json")).training["export"]["agreement"]
    assert proof["split"] == "PublicTest"
    for head in ("fer2013", "votes"):
        assert proof[head]["faces"] == proof[head]["same_top"] == 40
        assert 0 <= proof[head]["max_dp"] <= 1e-4


def test_the_card_beside_the_file_is_the_one_returned(exported: Exported) -> None:
    card = read_card(exported.onnx.with_suffix(".json"))
    # As JSON: it has lists where a recipe has tuples.
    assert json.loads(card.to_json()) == json.loads(exported.card.to_json())
    assert card.sha256 == sha256_file(exported.onnx)


def test_the_file_alone_says_how_it_is_used(exported: Exported) -> None:
    """A program in C++ or Rust has the file and not the card."""
    import onnx

    props = {each.key: each.value for each in onnx.load(exported.onnx).metadata_props}
    assert json.loads(props["labels"]) == {"fer2013": list(FER2013), "votes": list(VOTES)}
    assert props["input"].startswith("pixels: uint8 (N, 48, 48)")
    assert (float(props["mean"]), float(props["std"])) == (0.5, 0.5)
    card = json.loads(exported.card.to_json())
    assert json.loads(props["card"]) == {name: value for name, value in card.items() if name != "sha256"}
    assert json.loads(props["framing"]) == card["framing"]


def test_the_card_describes_the_network_of_the_best_epoch(exported: Exported) -> None:
    card = exported.card
    assert (card.name, card.backbone, card.default_head) == ("small", "test_efficientnet", "votes")
    assert {head.name: head.labels for head in card.heads} == {"fer2013": FER2013, "votes": VOTES}
    assert card.head("votes").abstain == ("unknown", "not a face")
    assert all(head.temperature == 1 and not head.conformal for head in card.heads)
    assert (card.input_size, card.network_size) == (48, 56)  # the epoch's size, not the recipe's 64
    assert (card.mean, card.std) == (0.5, 0.5)
    assert card.licence.startswith("not set")
    assert card.figures == {}


def test_the_card_says_what_the_model_was_trained_on_and_how(
    exported: Exported, run: Path, table: FaceTable
) -> None:
    recorded = json.loads((run / "run.json").read_text())
    data, training = exported.card.data, exported.card.training
    assert data["source"] == "drawn faces"
    assert data["sha256"] == table.sha256
    assert data["splits"] == {"Training": 32, "PublicTest": 40}
    assert data["without_duplicates_of"] == []
    assert training["recipe"]["name"] == "small"
    assert (training["epochs"], training["best_epoch"], training["seed"]) == (1, 1, 0)
    assert training["seconds"] > 0
    for key in ("commit", "hardware", "versions"):
        assert training[key] == recorded[key]


def test_parameters_and_file_size_go_together(exported: Exported, run: Path) -> None:
    """Four bytes a parameter, and little beside: normalisation is folded, nothing is stored twice."""
    assert exported.card.parameters == count_parameters(load_run(run).network)
    weights = 4 * exported.card.parameters
    assert weights * 0.9 < exported.onnx.stat().st_size < weights + 40_000


def test_framing_is_kept_in_the_card(run: Path, table: FaceTable, tmp_path: Path, quick: None) -> None:
    framing = Framing(0.1, 0.2, 0.8, 0.7, "measured")
    done = export_run(run, tmp_path / "framed.onnx", faces=table, framing=framing)
    assert read_card(done.onnx.with_suffix(".json")).framing == framing


def test_without_a_place_the_model_goes_into_the_run_under_its_recipes_name(
    run: Path, table: FaceTable, quick: None
) -> None:
    done = export_run(run, faces=table)
    assert done.onnx == run / "mien-small.onnx"
    assert done.card.name == "mien-small"


@pytest.fixture
def quick(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the graph is the slow part and is the same each time: copy what was written."""
    content = exported.onnx.read_bytes()
    monkeypatch.setattr(
        export_room, "write_onnx", lambda network, path, *, input_size: path.write_bytes(content)
    )


def _disagreeing(logits: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def changed(*arguments: Any) -> dict[str, Any]:
        answers = logits(*arguments)
        answers["votes"][3, 1] += 0.02
        return answers

    return changed


def test_a_file_that_disagrees_leaves_nothing_behind(
    run: Path, table: FaceTable, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_room, "run_onnx", _disagreeing(export_room.run_onnx))
    with pytest.raises(ExportError, match="head 'votes'"):
        export_run(run, tmp_path / "wrong.onnx", faces=table)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_former_one_alone(
    run: Path, table: FaceTable, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.onnx"
    export_run(run, out, faces=table)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(export_room, "run_onnx", _disagreeing(export_room.run_onnx))
    with pytest.raises(ExportError):
        export_run(run, out, faces=table)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_split_that_is_not_there_is_named(run: Path, table: FaceTable, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="PrivateTest"):
        export_run(run, tmp_path / "a.onnx", faces=table, split="PrivateTest")


def test_faces_of_another_size_are_refused(run: Path, table: FaceTable, tmp_path: Path) -> None:
    smaller = dataclasses.replace(table, pixels=table.pixels[:, :32, :32].copy())
    with pytest.raises(UsageError, match="48 x 48"):
        export_run(run, tmp_path / "a.onnx", faces=smaller)


@pytest.mark.parametrize("place", ["model.pt", "nowhere/model.onnx"])
def test_a_place_that_cannot_be_written_is_refused_at_once(
    run: Path, table: FaceTable, tmp_path: Path, place: str
) -> None:
    with pytest.raises(UsageError, match=r"\.onnx|no folder"):
        export_run(run, tmp_path / place, faces=table)


def test_a_run_that_does_not_say_what_it_was_trained_on_gets_no_card(
    run: Path, table: FaceTable, tmp_path: Path, quick: None
) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("recipe.toml", "best.safetensors"):
        (copy / name).write_bytes((run / name).read_bytes())
    with pytest.raises(ModelError, match=r"run\.json"):
        export_run(copy, tmp_path / "a.onnx", faces=table)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_folder_of_a_run_is_the_model_that_was_exported_from_its_weights(
    exported: Exported, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mien predict --model runs/a` used to say that this is no model, and no more."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("recipe.toml", "best.safetensors"):
        shutil.copyfile(run / name, folder / name)
    with pytest.raises(UnknownModel, match=r"mien export .*run"):
        find_model(folder)
    for suffix in (".onnx", ".json"):
        shutil.copyfile(exported.onnx.with_suffix(suffix), folder / f"small{suffix}")
        shutil.copyfile(exported.onnx.with_suffix(suffix), folder / f"small-int8{suffix}")
    assert find_model(folder).onnx == loading.exported(folder) == folder / "small.onnx"

    # Trained on: the file is of older weights, and another is written.
    later = (folder / "small.onnx").stat().st_mtime + 10
    os.utime(folder / "best.safetensors", (later, later))
    written: list[tuple[Path, int]] = []

    def export(source: Path, *, faces: FaceTable, **options: Any) -> Exported:
        written.append((source, len(faces.split(options["split"]))))
        return exported

    monkeypatch.setattr(export_room, "export_run", export)
    assert loading.exported(folder) == exported.onnx
    assert written[0][0] == folder
    assert written[0][1] > 0
