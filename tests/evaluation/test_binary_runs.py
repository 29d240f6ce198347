"""A model of two classes is scored on its own binary task, on the faces of those classes."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.table import FaceTable
from mien.emotions import FER2013, binary_task
from mien.errors import UsageError
from mien.evaluation.binary import as_binary
from mien.evaluation.comparison import join_predictions, predicted_classes
from mien.evaluation.predictions import predict_split
from mien.evaluation.run import predict_labels
from mien.testing.fakes import FakeClassifier, FakeModel, numbered_faces

NEGATIVE = binary_task("negative")


def model(predicted: str, labels: tuple[str, ...]) -> FakeModel:
    """A model whose only head is that of the binary task."""
    return FakeModel({"negative": FakeClassifier.predicting(predicted, labels=labels)})


@pytest.fixture
def table() -> FaceTable:
    """One face of each emotion in PublicTest; the angry one is in Training too."""
    labels = [*range(7), 0]
    return FaceTable(
        pixels=numbered_faces([*range(7), 0]),
        labels=np.array(labels),
        splits=np.array(["PublicTest"] * 7 + ["Training"]),
        rows=np.arange(8),
    )


def test_only_faces_of_the_two_classes_are_predicted_and_the_others_are_counted(table: FaceTable) -> None:
    found = predict_labels(model("negative", NEGATIVE.classes), table, "PublicTest")
    assert found.classes == ("positive", "negative")
    assert [FER2013[row] for row in found.faces.rows] == ["angry", "disgust", "fear", "happy", "sad"]
    assert found.truth.tolist() == [1, 1, 1, 0, 1]
    assert found.left_out == {"surprise": 1, "neutral": 1}
    assert found.not_in_training is not None
    assert found.not_in_training.tolist() == [False, True, True, True, True]


def test_it_meets_a_model_of_all_emotions_on_the_same_faces(table: FaceTable) -> None:
    two = predict_labels(model("positive", NEGATIVE.classes), table, "PublicTest")
    seven = as_binary(
        predict_split(FakeClassifier.predicting("happy"), table, "PublicTest", head="fer2013"), NEGATIVE
    )
    meeting = join_predictions([predicted_classes(two, "two"), predicted_classes(seven, "seven")])
    assert len(meeting.truth) == 5
    np.testing.assert_array_equal(meeting.predicted[0], meeting.predicted[1])
    assert not meeting.left_out


def test_a_model_of_other_classes_than_its_task_is_refused(table: FaceTable) -> None:
    with pytest.raises(UsageError, match=r"predicts angry, .*, not positive or negative"):
        predict_labels(model("happy", FER2013), table, "PublicTest")
    with pytest.raises(UsageError, match="not positive or negative"):
        predict_labels(model("happy", binary_task("happy").classes), table, "PublicTest")
