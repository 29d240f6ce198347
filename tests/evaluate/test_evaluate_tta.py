"""Test-time augmentation: which views of a face are asked about, and what is made of the answers."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import UsageError
from mien.evaluate.classifier import classify
from mien.evaluate.tta import Augmented, Views
from mien.testing import FakeClassifier


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (4, 48, 48), dtype=np.uint8)


def test_there_are_five_crops_and_the_same_mirrored(faces):
    views = list(Views(shift_px=2).of(faces))
    assert len(views) == len(Views(shift_px=2)) == 10
    assert {view.shape for view in views} == {faces.shape}
    for crop, mirrored in zip(views[:5], views[5:], strict=True):
        np.testing.assert_array_equal(mirrored, np.flip(crop, axis=2))


def test_the_first_view_is_the_face_and_the_others_are_moved_by_the_shift(faces):
    middle, *corners = list(Views(shift_px=3, flip=False).of(faces))
    np.testing.assert_array_equal(middle, faces)
    np.testing.assert_array_equal(corners[3][:, :-3, :-3], faces[:, 3:, 3:])  # down and right
    np.testing.assert_array_equal(corners[0][:, 3:, 3:], faces[:, :-3, :-3])  # up and left
    np.testing.assert_array_equal(corners[1][:, 3:, :-3], faces[:, :-3, 3:])  # up and right


def test_what_a_crop_lacks_is_reflected(faces):
    corner = list(Views(shift_px=2).of(faces))[1]
    np.testing.assert_array_equal(corner[:, 0, 2:], faces[:, 2, :-2])
    np.testing.assert_array_equal(corner[:, 1, 2:], faces[:, 1, :-2])


def test_the_answer_is_the_mean_over_the_views(faces):
    """The fake answers by the first pixel, so each view has an answer of its own."""

    def rule(crops: np.ndarray) -> np.ndarray:
        rows = np.eye(7)[crops[:, 0, 0] % 7] * 0.8 + 0.2 / 7
        return rows.astype(np.float32)

    classifier = FakeClassifier(rule)
    views = Views(shift_px=2)
    expected = np.mean([rule(view) for view in views.of(faces)], axis=0)
    assert len(np.unique(expected.argmax(axis=1))) > 1
    augmented = Augmented(classifier, views)
    np.testing.assert_allclose(classify(augmented, faces, batch_size=3), expected, rtol=1e-6)
    assert (augmented.name, augmented.labels) == (classifier.name, classifier.labels)


def test_an_answer_that_does_not_depend_on_the_view_stays(faces):
    classifier = FakeClassifier.saying("happy", confidence=0.7)
    np.testing.assert_allclose(Augmented(classifier).predict(faces), classifier.predict(faces), rtol=1e-6)


def test_no_faces_give_no_rows():
    assert Augmented(FakeClassifier.saying("sad")).predict(np.empty((0, 48, 48), np.uint8)).shape == (0, 7)


@pytest.mark.parametrize(("shift", "side"), [(0, 48), (48, 48), (8, 8)])
def test_a_shift_that_leaves_nothing_of_the_face_is_refused(shift, side):
    with pytest.raises(UsageError, match="shift"):
        list(Views(shift_px=shift).of(np.zeros((1, side, side), np.uint8)))
