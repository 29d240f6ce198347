"""Test-time augmentation: what is made of the answers to several views."""

from __future__ import annotations

import numpy as np
import pytest

from mien.models.classifier import classify
from mien.models.tta import TtaClassifier, TtaCrops, TtaModel
from mien.testing.fakes import FakeClassifier, FakeModel


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (4, 48, 48), dtype=np.uint8)


def test_the_answer_is_the_mean_over_the_views(faces):
    """The fake answers by the first pixel, so each view has an answer of its own."""

    def rule(crops: np.ndarray) -> np.ndarray:
        rows = np.eye(7)[crops[:, 0, 0] % 7] * 0.8 + 0.2 / 7
        return rows.astype(np.float32)

    classifier = FakeClassifier(rule)
    views = TtaCrops()
    expected = np.mean([rule(view) for view in views.of(faces)], axis=0)
    assert len(np.unique(expected.argmax(axis=1))) > 1
    augmented = TtaClassifier(classifier, views)
    np.testing.assert_allclose(classify(augmented, faces, batch_size=3), expected, rtol=1e-6)
    assert (augmented.name, augmented.labels) == (classifier.name, classifier.labels)


def test_an_answer_that_does_not_depend_on_the_view_stays(faces):
    classifier = FakeClassifier.predicting("happy", confidence=0.7)
    np.testing.assert_allclose(TtaClassifier(classifier).predict(faces), classifier.predict(faces), rtol=1e-6)


def test_no_faces_give_no_rows():
    assert TtaClassifier(FakeClassifier.predicting("sad")).predict(np.empty((0, 48, 48), np.uint8)).shape == (
        0,
        7,
    )


def test_a_model_averages_each_of_its_heads_over_the_same_crops():
    faces = np.random.default_rng(1).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    bright = FakeClassifier(lambda crops: np.eye(7, dtype=np.float32)[crops[:, 0, 0] % 7])
    dark = FakeClassifier(lambda crops: np.eye(7, dtype=np.float32)[crops[:, -1, -1] % 7])
    given = TtaModel(FakeModel({"fer2013": bright, "votes": dark})).predict(faces)
    for head, classifier in (("fer2013", bright), ("votes", dark)):
        np.testing.assert_array_equal(given[head], TtaClassifier(classifier).predict(faces))
