"""Curves and areas against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.errors import UsageError
from mien.evaluation.metrics.classification import precision_recall, roc


@pytest.fixture(params=["all different", "many equal"])
def scored(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    positive = generator.random(300) < 0.2
    scores = generator.normal(size=300) + positive
    return (scores if request.param == "all different" else np.round(scores)), positive


def test_the_roc_curve_is_scikit_learns(scored):
    scores, positive = scored
    found = roc(scores, positive)
    false, true, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positive_rate, false)
    np.testing.assert_allclose(found.true_positive_rate, true)
    assert found.auc == pytest.approx(sk.roc_auc_score(positive, scores))


def test_precision_and_recall_are_scikit_learns(scored):
    scores, positive = scored
    found = precision_recall(scores, positive)
    precision, recall, _ = sk.precision_recall_curve(positive, scores)
    # scikit-learn goes from the lowest threshold and adds a point without faces, which is not measured.
    np.testing.assert_allclose(found.precision, precision[-2::-1])
    np.testing.assert_allclose(found.recall, recall[-2::-1])
    assert found.average_precision == pytest.approx(sk.average_precision_score(positive, scores))


def test_a_score_that_is_always_right_fills_the_square():
    scores, positive = np.array([0.9, 0.8, 0.1]), np.array([True, True, False])
    assert roc(scores, positive).auc == precision_recall(scores, positive).average_precision == 1


def test_without_positive_or_negative_faces_there_is_no_curve():
    scores = np.array([0.1, 0.2])
    with pytest.raises(UsageError, match="positive"):
        precision_recall(scores, np.array([False, False]))
    with pytest.raises(UsageError, match="negative"):
        roc(scores, np.array([True, True]))
