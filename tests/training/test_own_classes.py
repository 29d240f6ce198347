"""Classes that are no emotions: the head follows the data; the card, the scores and the faces follow it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.data import load
from mien.data.folders.labels import label_map
from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.emotions import FERPLUS
from mien.errors import DataError, FormatError, UsageError
from mien.images.gray import png
from mien.inference.analyzer import Analyzer
from mien.models.onnx import OnnxModel
from mien.runs.recipe import Recipe, load_recipe
from mien.training import api
from mien.training.data.splits import with_splits_of


@pytest.fixture(scope="module")
def pain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train and val, with 8 faces of each of three classes."""
    root = tmp_path_factory.mktemp("pain")
    drawn = faces(48, seed=9)
    for row, pixels in enumerate(drawn.pixels):
        folder = root / ("train" if row < 24 else "val") / ("no pain", "Pain", "Happiness")[row % 3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.png").write_bytes(png(pixels))
    return root


def test_each_folder_is_a_class_and_emotions_keep_their_names(pain: Path) -> None:
    with pytest.raises(FormatError, match=r"only happy .*val/Pain \(8\)"):
        load(pain)
    table = load(pain, mapping=label_map("own"))
    assert table.classes == ("happy", "Pain", "no pain")
    assert dict(table.split_counts) == {"Training": 24, "validation": 24}
    assert table.names is not None
    for name, label in zip(table.names, table.labels, strict=True):
        assert {"Happiness": "happy"}.get(name.split("/")[1], name.split("/")[1]) == table.classes[label]


def test_a_map_names_the_classes_of_folders_and_of_labels(pain: Path, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("folder,class\nPain,pain\nno pain,calm face\n")
    mapping = label_map(tmp_path / "map.csv")
    table = load(pain, mapping=mapping)
    assert table.classes == ("calm face", "pain")
    assert [(each.where, each.count) for each in table.problems] == [
        ("train/Happiness", 8),
        ("val/Happiness", 8),
    ]
    (tmp_path / "faces.csv").write_text(
        f"path,label\n{pain}/val/Pain/25.png,pain\n{pain}/val/Pain/28.png,2\n"
    )
    assert load(tmp_path / "faces.csv", mapping=label_map("own")).classes == ("2", "pain")
    with pytest.raises(FormatError, match=r"too few classes \(pain\)"):
        load(tmp_path / "faces.csv", mapping=mapping)


def test_the_head_the_scores_the_card_and_the_faces_follow_the_data(
    pain: Path, tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "draw_run", lambda folder: [])
    plan = tiny(
        schedule={"epochs": 1, "warmup_epochs": 0}, network={"backbone": "test_resnet", "drop_path": 0.0}
    )
    run = mien.train(plan, data=pain, label_map="own", out=tmp_path / "run", threads=1)
    classes = ("happy", "Pain", "no pain")
    assert load_recipe(tmp_path / "run/recipe.toml").data.classes == classes
    assert mien.load_model(run).heads == {"own": classes}

    evaluation = mien.evaluate(tmp_path / "run", data=pain, label_map="own", split="val", bootstrap=20)
    assert list(evaluation.scores.per_class) == list(classes)
    assert evaluation.scores.n == 24
    assert evaluation.scores.accuracy == pytest.approx(run.best.validation_accuracy)  # type: ignore[union-attr]

    exported = mien.export(tmp_path / "run", split="val", calibrate=False).models[0]
    assert exported.card.default_head == "own"
    assert OnnxModel(exported.onnx).heads == {"own": classes}
    (face,) = Analyzer(exported.onnx).analyze_crops([np.full((48, 48, 3), 90, np.uint8)])
    assert tuple(face.emotions) == classes
    assert face.valence is None
    again = mien.evaluate(exported.onnx, data=pain, label_map="own", split="val", bootstrap=20)
    assert again.scores.accuracy == evaluation.scores.accuracy


def test_contempt_that_is_kept_is_an_eighth_class(tiny: Callable[..., Recipe]) -> None:
    table = faces(20, seed=1)
    eight = FaceTable.from_arrays(table.pixels, table.labels, "train", classes=FERPLUS)
    assert with_splits_of(eight, tiny(data={"holdout": 0.3})).data.classes == FERPLUS


def test_faces_of_another_class_than_the_recipes_are_refused(pain: Path, tiny: Callable[..., Recipe]) -> None:
    with pytest.raises(DataError, match="has the classes Pain, no pain, which the recipe does not have"):
        api.preview(tiny(data={"classes": ["happy", "sad"]}), data=load(pain, mapping=label_map("own")))


def test_a_source_without_folders_has_no_own_classes(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n0," + " ".join(["9"] * 2304) + ",Training\n")
    with pytest.raises(UsageError, match="cannot be named by a label map"):
        load(tmp_path / "fer2013.csv", mapping=label_map("own"))
