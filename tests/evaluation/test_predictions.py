"""Which faces are judged, against which truth, and by which columns."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.table import FaceTable
from mien.emotions import FER2013, FERPLUS, VOTES
from mien.errors import DataError, ModelError, UsageError
from mien.evaluation.predictions import align, predict_split
from mien.models.classifier import classify
from mien.testing.fakes import FakeClassifier, number_of, numbered_faces

SEVEN = np.eye(7, dtype=np.float32)


def table_of(
    numbers: list[int],
    labels: list[int],
    splits: list[str] | str = "PublicTest",
    *,
    classes: tuple[str, ...] = FER2013,
    votes: np.ndarray | None = None,
) -> FaceTable:
    n = len(numbers)
    return FaceTable(
        numbered_faces(numbers),
        np.array(labels, np.int64),
        np.array([splits] * n if isinstance(splits, str) else splits),
        np.arange(n, dtype=np.int64),
        classes=classes,
        votes=votes,
        source="faces.csv",
    )


def test_every_labelled_face_gets_its_own_row_whatever_the_batches():
    faces = table_of([6, 0, 3, 3, 1], [6, 0, 3, 2, 1])
    seen: list[int] = []
    judged = predict_split(
        FakeClassifier.from_table(SEVEN),
        faces,
        "PublicTest",
        head="fer2013",
        batch_size=2,
        progress=seen.append,
    )
    assert judged.probabilities.argmax(axis=1).tolist() == [6, 0, 3, 3, 1]
    assert judged.truth.tolist() == [6, 0, 3, 2, 1]
    assert seen == [2, 2, 1]
    assert (judged.model, judged.head, judged.classes, dict(judged.left_out)) == (
        "fake",
        "fer2013",
        FER2013,
        {},
    )


def test_only_the_split_is_judged():
    faces = table_of([0, 1, 2], [0, 1, 2], ["Training", "PublicTest", "Training"])
    judged = predict_split(FakeClassifier.from_table(SEVEN), faces, "PublicTest", head="")
    assert judged.faces.rows.tolist() == [1]


def test_a_split_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(DataError, match=r"no split 'PrivateTest'; it has: PublicTest \(1\)"):
        predict_split(FakeClassifier.from_table(SEVEN), table_of([0], [0]), "PrivateTest", head="")


def test_pixel_duplicates_of_training_are_not_fresh():
    faces = table_of(
        [0, 1, 2, 1, 2, 3], [0, 1, 2, 1, 4, 3], ["Training", "Training", "Training", *["PublicTest"] * 3]
    )
    judged = predict_split(FakeClassifier.from_table(SEVEN), faces, "PublicTest", head="")
    assert judged.not_in_training is not None
    assert judged.not_in_training.tolist() == [False, False, True]


def test_one_changed_grey_level_makes_a_face_fresh():
    pixels = numbered_faces([1, 1])
    pixels[1, 40, 40] += 1
    faces = FaceTable(pixels, np.array([1, 1]), np.array(["Training", "PublicTest"]), np.arange(2))
    judged = predict_split(FakeClassifier.from_table(SEVEN), faces, "PublicTest", head="")
    assert judged.not_in_training is not None
    assert judged.not_in_training.all()


@pytest.mark.parametrize(("splits", "split"), [("PublicTest", "PublicTest"), ("Training", "Training")])
def test_nothing_is_known_of_freshness_without_other_training_faces(splits, split):
    faces = table_of([0, 1], [0, 1], splits)
    assert predict_split(FakeClassifier.from_table(SEVEN), faces, split, head="").not_in_training is None


def test_unlabelled_faces_are_left_out_and_counted():
    judged = predict_split(
        FakeClassifier.from_table(SEVEN), table_of([0, 1, 2], [0, -1, 2]), "PublicTest", head=""
    )
    assert judged.truth.tolist() == [0, 2]
    assert judged.left_out == {"unlabelled": 1}


def test_a_split_without_any_label_is_refused():
    with pytest.raises(UsageError, match=r"none of the 2 faces in faces\.csv.*unlabelled"):
        predict_split(FakeClassifier.from_table(SEVEN), table_of([0, 1], [-1, -1]), "PublicTest", head="")


def test_classes_are_matched_by_name_and_not_by_place():
    """A folder tree sorts its classes by name; the model has FER2013's order and spells them otherwise."""
    folders = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    model_labels = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Neutral")
    faces = table_of([3, 6, 4], [3, 4, 5], classes=folders)
    judged = predict_split(
        FakeClassifier.from_table(SEVEN, labels=model_labels), faces, "PublicTest", head=""
    )
    assert judged.classes == folders
    assert [folders[i] for i in judged.probabilities.argmax(axis=1)] == ["happy", "neutral", "sad"]
    assert judged.probabilities.argmax(axis=1).tolist() == judged.truth.tolist()


def test_columns_that_are_no_class_are_dropped_and_the_rest_scaled_up():
    ten = np.full((1, 10), 0.05, np.float32)
    ten[0, VOTES.index("happy")] = 0.35
    ten[0, VOTES.index("not a face")] = 0.25
    seven = align(ten, VOTES, FER2013)
    assert seven.shape == (1, 7)
    assert seven.sum() == pytest.approx(1)
    assert seven[0, FER2013.index("happy")] == pytest.approx(0.35 / 0.65)


def test_columns_of_the_same_emotion_are_added():
    answer = np.array([[0.2, 0.3, 0.5]], np.float32)
    np.testing.assert_allclose(
        align(answer, ("neutral", "calm", "happy"), ("happy", "neutral")), [[0.5, 0.5]], rtol=1e-6
    )


def test_a_row_with_nothing_left_becomes_even():
    answer = np.array([[0.0, 0.0, 1.0]], np.float32)
    np.testing.assert_allclose(align(answer, ("happy", "sad", "contempt"), ("happy", "sad")), [[0.5, 0.5]])


def test_equal_columns_are_passed_through_untouched():
    answer = np.array([[0.25, 0.74]], np.float32)
    assert align(answer, ("happy", "sad"), ("happy", "sad")) is answer


def test_classes_of_ones_own_are_matched_by_their_text():
    mixed = np.array([[0.2, 0.3, 0.5]], np.float32)
    assert align(mixed, ("cat", "happy", "sad"), ("happiness", "cat")) == pytest.approx(
        np.array([[0.6, 0.4]]), abs=1e-6
    )


def test_faces_of_a_class_the_model_does_not_know_are_an_error_that_says_what_to_do():
    faces = table_of([0, 1, 2], [7, 7, 0], classes=FERPLUS)
    with pytest.raises(UsageError, match=r"does not know: contempt \(2\).*--head.*--known-only"):
        predict_split(FakeClassifier.from_table(SEVEN), faces, "PublicTest", head="")


def test_known_only_leaves_those_faces_and_their_column_out():
    faces = table_of([0, 4, 3], [0, 1, 2], classes=("contempt", "sad", "happy"))
    classifier = FakeClassifier.from_table(SEVEN)
    judged = predict_split(classifier, faces, "PublicTest", head="", known_only=True)
    assert judged.left_out == {"contempt": 1}
    assert judged.classes == ("sad", "happy")
    assert judged.truth.tolist() == judged.probabilities.argmax(axis=1).tolist() == [0, 1]
    assert judged.faces.rows.tolist() == [1, 2]


def test_an_unknown_class_without_faces_disturbs_nobody():
    judged = predict_split(
        FakeClassifier.from_table(SEVEN), table_of([0], [0], classes=FERPLUS), "PublicTest", head=""
    )
    assert judged.classes == FER2013
    assert judged.left_out == {}


def test_a_model_that_knows_none_of_the_classes_is_refused():
    faces = table_of([0], [0], classes=("contempt",))
    with pytest.raises(UsageError, match="knows none of the classes contempt"):
        predict_split(FakeClassifier.from_table(SEVEN), faces, "PublicTest", head="", known_only=True)


def test_ferplus_truth_is_the_majority_and_the_rest_is_left_out():
    votes = np.zeros((3, 10), np.uint8)
    votes[0, FERPLUS.index("contempt")] = 8
    votes[1, VOTES.index("unknown")] = 10
    votes[2, FERPLUS.index("happy")] = 9
    faces = table_of([0, 1, 3], [0, 1, 3], votes=votes)
    judged = predict_split(
        FakeClassifier.from_table(np.eye(10, dtype=np.float32), labels=VOTES),
        faces,
        "PublicTest",
        head="votes",
        labels="ferplus",
    )
    assert [judged.classes[i] for i in judged.truth] == ["contempt", "happy"]
    assert judged.classes == FERPLUS
    assert judged.left_out == {"no majority": 1}


def test_ferplus_without_votes_says_where_to_get_them():
    with pytest.raises(UsageError, match=r"faces\.csv has no FER\+ votes.*--votes"):
        predict_split(
            FakeClassifier.from_table(SEVEN), table_of([0], [0]), "PublicTest", head="", labels="ferplus"
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda crops: np.full((len(crops), 6), 1 / 6), r"shape \(2, 6\).*7 labels"),
        (lambda crops: np.full((len(crops), 7), np.nan), "NaN"),
        (lambda crops: np.tile([5.0, -4, 0, 0, 0, 0, 0], (len(crops), 1)), r"smallest value -4.*softmax"),
        (lambda crops: np.full((len(crops), 7), 0.5), r"first sum 3\.5"),
    ],
)
def test_an_answer_that_is_no_probabilities_is_refused(answer, message):
    with pytest.raises(ModelError, match=message):
        classify(FakeClassifier(answer), numbered_faces([0, 1]))


def test_no_faces_give_no_rows():
    assert classify(FakeClassifier.predicting("sad"), numbered_faces([])).shape == (0, 7)


def test_the_fake_says_what_it_was_told():
    assert FakeClassifier.predicting("sad", confidence=0.4).predict(numbered_faces([9]))[
        0
    ].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.4, 0.1, 0.1])
    assert number_of(numbered_faces([0, 255, 256, 65535])).tolist() == [0, 255, 256, 65535]
