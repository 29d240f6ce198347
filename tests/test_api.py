"""Evaluating and comparing from Python: data as a path or a table, results that say what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mien
from mien.emotions import FER2013
from mien.errors import UnknownModel, UsageError
from mien.testing.fakes import FakeClassifier, FakeModel, numbered_faces


@pytest.fixture(scope="module")
def table() -> mien.FaceTable:
    """14 faces of PublicTest, each label twice."""
    n = 14
    return mien.FaceTable(
        numbered_faces(list(range(n))), np.arange(n) % 7, np.full(n, "PublicTest"), np.arange(n), FER2013
    )


def model(name: str, right: int) -> FakeModel:
    """A model that predicts the first `right` of the faces correctly, and angry or disgust for the others."""
    truth = np.arange(14) % 7
    given = np.where(np.arange(14) < right, truth, (truth == 0).astype(int))
    classifier = FakeClassifier.from_table(np.eye(7, dtype=np.float32)[given])
    return FakeModel({"fer2013": classifier}, name)


def test_an_open_model_and_a_table_are_evaluated(table: mien.FaceTable) -> None:
    moved: list[tuple[str, int, int]] = []
    found = mien.evaluate(
        model("ten", 10),
        data=table,
        binary=["happy"],
        bootstrap=50,
        batch_size=4,
        progress=lambda what, done, total: moved.append((what, done, total)),
    )
    assert repr(found).startswith("<Evaluation of ten on PublicTest, 14 faces: accuracy 71.4% (")
    assert found.scores.accuracy == 10 / 14
    assert found.to_dict()["binary"]["happy"]["n"] == 14
    assert moved[-1] == ("ten on PublicTest", 14, 14)


def test_nothing_is_printed_without_progress(
    table: mien.FaceTable, capfd: pytest.CaptureFixture[str]
) -> None:
    mien.evaluate(model("ten", 10), data=table, bootstrap=10)
    mien.compare([model("ten", 10), model("all", 14)], data=table, bootstrap=10)
    assert capfd.readouterr() == ("", "")


def test_models_are_compared_on_the_same_faces(table: mien.FaceTable) -> None:
    found = mien.compare([model("ten", 10), model("all", 14)], data=table, bootstrap=50)
    (pair,) = found.pairs
    assert (found.n, pair.first, pair.second) == (14, "ten", "all")
    assert pair.paired.accuracy.value == pytest.approx(4 / 14)
    assert (pair.paired.test.only_first, pair.paired.test.only_second) == (0, 4)


def test_a_binary_task_is_compared_by_the_same_probabilities(table: mien.FaceTable) -> None:
    found = mien.compare([model("ten", 10), model("all", 14)], data=table, binary="happy", bootstrap=10)
    assert found.support == {"happy": 2, "not happy": 12}


def test_models_without_data_to_compare_on_are_refused() -> None:
    with pytest.raises(UsageError, match="--data"):
        mien.compare([model("ten", 10), model("all", 14)])
    with pytest.raises(UsageError, match="label_map"):
        mien.evaluate(model("ten", 10), data=mien.load("synthetic"), label_map="raf-db")


def test_a_shipped_model_says_what_it_is() -> None:
    opened = mien.load_model("mien-tiny")
    assert repr(opened).startswith(
        "<OnnxModel mien-tiny: fer2013 (7 labels), votes (10 labels), combined (10 labels); 48 px faces"
    )
    given = opened.predict(np.zeros((2, 48, 48), np.uint8))
    shapes = {head: each.shape for head, each in given.items()}
    assert shapes == {"fer2013": (2, 7), "votes": (2, 10), "combined": (2, 10)}


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="nowhere"):
        mien.load_model("nowhere")
    with pytest.raises(UsageError, match=r"recipe\.toml"):
        mien.load_model(tmp_path)
