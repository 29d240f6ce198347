"""One yes-or-no question from the probabilities of all emotions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.data.table import FaceTable
from mien.emotions import FER2013, binary_task
from mien.errors import UsageError
from mien.evaluation.binary import as_binary, score_binary
from mien.evaluation.predictions import Predictions
from mien.testing.fakes import numbered_faces


def judged(n: int = 300, classes: tuple[str, ...] = FER2013, truth: np.ndarray | None = None) -> Predictions:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, len(classes), n) if truth is None else truth
    probabilities = generator.dirichlet(np.ones(len(classes)), n)
    probabilities[np.arange(n), truth] += 0.3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Predictions(
        classes=classes,
        probabilities=probabilities.astype(np.float32),
        truth=truth,
        model="fake",
        head="fer2013",
        faces=FaceTable(numbered_faces(list(range(n))), truth, np.full(n, "PublicTest"), np.arange(n)),
        split="PublicTest",
        labels="fer2013",
        not_in_training=np.arange(n) % 2 == 0,
        left_out={"unlabelled": 3},
    )


def test_one_against_the_rest_is_the_emotions_own_probability():
    p = judged()
    two = as_binary(p, binary_task("happy"))
    np.testing.assert_allclose(two.probabilities[:, 1], p.probabilities[:, 3], rtol=1e-5)
    np.testing.assert_array_equal(two.truth, p.truth == 3)
    assert two.classes == ("not happy", "happy")
    assert two.left_out == p.left_out


def test_the_scores_are_scikit_learns():
    p = judged()
    found = score_binary(p, binary_task("happy"), np.random.default_rng(0), resamples=50)
    positive, chance = p.truth == 3, p.probabilities[:, 3]
    assert found.scores.accuracy == pytest.approx(sk.accuracy_score(positive, chance > 0.5))
    assert found.scores.per_class["happy"].f1 == pytest.approx(sk.f1_score(positive, chance > 0.5))
    assert found.scores.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(positive, chance > 0.5))
    assert found.roc_auc == pytest.approx(sk.roc_auc_score(positive, chance), abs=1e-6)
    assert found.average_precision == pytest.approx(sk.average_precision_score(positive, chance), abs=1e-6)
    assert found.baseline == pytest.approx(1 - positive.mean())


def test_negative_against_positive_leaves_out_and_counts_what_is_neither():
    p = judged()
    two = as_binary(p, binary_task("negative"))
    names = np.array(FER2013)[p.truth]
    kept = ~np.isin(names, ["surprise", "neutral"])
    assert len(two.truth) == kept.sum()
    assert two.left_out == {
        "unlabelled": 3,
        "surprise": (names == "surprise").sum(),
        "neutral": (names == "neutral").sum(),
    }
    np.testing.assert_array_equal(two.truth, names[kept] != "happy")
    given = p.probabilities[kept]
    bad = given[:, [0, 1, 2, 4]].sum(axis=1)
    np.testing.assert_allclose(two.probabilities[:, 1], bad / (bad + given[:, 3]), rtol=1e-5)
    np.testing.assert_allclose(two.probabilities.sum(axis=1), 1, rtol=1e-6)
    assert two.faces.rows.tolist() == np.flatnonzero(kept).tolist()
    assert two.not_in_training is not None
    np.testing.assert_array_equal(two.not_in_training, (np.arange(300) % 2 == 0)[kept])


def test_the_json_says_which_question_was_asked():
    found = score_binary(judged(), binary_task("negative"), np.random.default_rng(0), resamples=50)
    plain = found.to_dict()
    assert plain["name"] == "negative"
    assert plain["classes"] == ["positive", "negative"]
    assert set(plain["left_out"]) == {"surprise", "neutral"}
    assert plain["confusion"]["labels"] == ["positive", "negative"]
    assert plain["accuracy"] == found.scores.accuracy


def test_a_side_without_faces_is_named():
    with pytest.raises(UsageError, match="faces that are contempt"):
        as_binary(judged(), binary_task("contempt"))
    with pytest.raises(UsageError, match="faces that are positive"):
        as_binary(judged(truth=np.zeros(300, int)), binary_task("negative"))
