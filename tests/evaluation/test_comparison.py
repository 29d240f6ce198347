"""PredictedClasses of several classifiers are brought together face by face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.data.table import FaceTable
from mien.emotions import FER2013
from mien.errors import FormatError, SourceNotFound, UsageError
from mien.evaluation.comparison import PredictedClasses, join_predictions, predicted_classes, read_predictions
from mien.evaluation.predictions import Predictions, predict_split
from mien.evaluation.result import write_predictions
from mien.testing.fakes import FakeClassifier, numbered_faces


def table(labels: list[int], splits: list[str], numbers: list[int]) -> FaceTable:
    return FaceTable(
        pixels=numbered_faces(numbers),
        labels=np.array(labels),
        splits=np.array(splits),
        rows=np.arange(50, 50 + len(labels)),
    )


def predictions(emotion: str) -> Predictions:
    """Three faces of PublicTest, of which the second is in Training too."""
    faces = table([3, 4, 3, 0], ["PublicTest"] * 3 + ["Training"], [1, 2, 3, 2])
    return predict_split(FakeClassifier.predicting(emotion), faces, "PublicTest", head="fer2013")


def answers(
    name: str,
    predicted: list[str],
    *,
    truth: tuple[str, ...] = ("happy", "sad", "happy"),
    rows: tuple[int, ...] = (0, 1, 2),
) -> PredictedClasses:
    faces = tuple(("PublicTest", str(row), "") for row in rows)
    return PredictedClasses(name, faces, np.array(truth), np.array(predicted), None)


def test_predictions_and_their_csv_give_the_same_answers(tmp_path: Path) -> None:
    made = predictions("happy")
    made = replace(made, faces=replace(made.faces, subjects=np.array(["anna", "ben", "anna"])))
    write_predictions(made, tmp_path / "happy.csv")
    direct, read = predicted_classes(made), read_predictions(tmp_path / "happy.csv")
    assert read.name == "happy"
    assert direct.faces == read.faces == tuple(("PublicTest", str(row), "") for row in (50, 51, 52))
    for name in ("truth", "predicted", "in_training", "subjects"):
        np.testing.assert_array_equal(getattr(direct, name), getattr(read, name))
    assert direct.truth.tolist() == ["happy", "sad", "happy"]
    assert direct.in_training is not None
    assert direct.in_training.tolist() == [False, True, False]
    assert read.subjects is not None
    assert read.subjects.tolist() == ["anna", "ben", "anna"]


def test_faces_meet_whatever_their_order_and_those_of_one_alone_are_counted() -> None:
    first = answers("first", ["happy", "sad", "sad"])
    second = answers("second", ["fear", "happy"], truth=("happy", "happy"), rows=(2, 0))
    meeting = join_predictions([first, second])
    named = [[meeting.classes[i] for i in row] for row in (meeting.truth, *meeting.predicted)]
    assert named == [["happy", "happy"], ["happy", "sad"], ["happy", "fear"]]
    assert meeting.left_out == {"first": 1}
    assert meeting.classes == ("fear", "happy", "sad")
    assert [FER2013.index(name) for name in meeting.classes] == sorted(map(FER2013.index, meeting.classes))


def test_what_one_knows_of_duplicates_holds_for_all() -> None:
    one, two = predicted_classes(predictions("happy"), "one"), predicted_classes(predictions("sad"), "two")
    unknowing = PredictedClasses("two", two.faces, two.truth, two.predicted, None)
    meeting = join_predictions([unknowing, one])
    assert meeting.not_in_training is not None
    assert meeting.not_in_training.tolist() == [True, False, True]


def test_other_labels_and_no_common_face_and_one_alone_are_refused() -> None:
    first = answers("first", ["happy", "sad", "sad"])
    with pytest.raises(UsageError, match=r"row 1 of PublicTest is fear and sad.*--labels"):
        join_predictions([first, answers("second", ["sad"] * 3, truth=("happy", "fear", "happy"))])
    with pytest.raises(UsageError, match="no face in common"):
        join_predictions([first, answers("second", ["sad"] * 3, rows=(7, 8, 9))])
    with pytest.raises(UsageError, match="two at least"):
        join_predictions([first])
    with pytest.raises(UsageError, match="same name"):
        join_predictions([first, first])


def test_a_file_that_is_no_csv_of_predictions_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="mien evaluate --predictions"):
        read_predictions(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("row,split\n1,PublicTest\n")
    with pytest.raises(FormatError, match="column truth, predicted"):
        read_predictions(tmp_path / "other.csv")
    (tmp_path / "twice.csv").write_text("row,split,truth,predicted\n1,P,sad,sad\n1,P,sad,sad\n")
    with pytest.raises(FormatError, match="2 times: row 1 of P"):
        read_predictions(tmp_path / "twice.csv")
