"""Several labels a face, against scikit-learn and FER+'s own rule."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from mien.emotions import FERPLUS, VOTES
from mien.errors import UsageError
from mien.evaluation.metrics.multilabel import labels_of_votes, named, score_labels


def ferplus_multi_target(raw: list[int]) -> list[int] | None:
    """The rule as Barsoum et al.'s ferplus.py words it: the labels, or None where the face is discarded."""
    counts = [0.0 if count < 1 + 1e-9 else float(count) for count in raw]
    kept = [count if count >= 0.3 * sum(counts) else 0.0 for count in counts]
    if sum(kept) <= 0.5 * sum(counts) or int(np.argmax(kept)) >= 8:
        return None
    return [int(count > 0) for count in kept[:8]]


@pytest.fixture
def votes() -> np.ndarray:
    generator = np.random.default_rng(6)
    return generator.multinomial(10, generator.dirichlet(np.full(10, 0.25), 500)).astype(np.uint8)


def test_the_labels_are_those_of_ferplus(votes):
    labels, clear = labels_of_votes(votes)
    expected = [ferplus_multi_target(list(row)) for row in votes]
    np.testing.assert_array_equal(clear, [each is not None for each in expected])
    np.testing.assert_array_equal(labels[clear], [each for each in expected if each is not None])
    assert 0 < clear.sum() < len(votes)
    assert labels[clear].sum(axis=1).max() > 1


def test_a_share_of_exactly_the_threshold_is_a_label():
    votes = np.zeros((1, 10), np.uint8)
    votes[0, VOTES.index("happy")], votes[0, VOTES.index("surprise")] = 7, 3
    labels, _ = labels_of_votes(votes)
    assert [FERPLUS[i] for i in np.flatnonzero(labels[0])] == ["happy", "surprise"]


def test_the_scores_are_scikit_learns(votes):
    probabilities = np.random.default_rng(7).dirichlet(np.full(8, 0.5), len(votes)).astype(np.float32)
    found = score_labels(probabilities, votes)
    labels, clear = labels_of_votes(votes)
    truth, given = labels[clear].astype(int), probabilities[clear]
    said = named(given, 0.3).astype(int)
    shown = truth.any(axis=0)
    assert found.n == clear.sum()
    assert found.left_out == (~clear).sum()
    assert found.exact_match == pytest.approx(sk.accuracy_score(truth, said))
    assert found.hamming_loss == pytest.approx(sk.hamming_loss(truth, said))
    assert found.micro_f1 == pytest.approx(sk.f1_score(truth, said, average="micro"))
    assert found.macro_f1 == pytest.approx(
        sk.f1_score(truth[:, shown], said[:, shown], average="macro", zero_division=0)
    )
    assert found.mean_average_precision == pytest.approx(
        sk.average_precision_score(truth[:, shown], given[:, shown], average="macro")
    )
    assert found.label_ranking_average_precision == pytest.approx(
        sk.label_ranking_average_precision_score(truth, given)
    )
    precision, recall, f1, support = sk.precision_recall_fscore_support(truth, said, zero_division=0)
    for i, name in enumerate(FERPLUS):
        each = found.per_emotion[name]
        assert (each.precision, each.recall, each.f1) == pytest.approx((precision[i], recall[i], f1[i]))
        assert each.support == support[i]
    assert found.sweep[0.3] == found.exact_match


def test_the_most_probable_class_is_always_named():
    assert named(np.array([[0.2, 0.1, 0.1]]), 0.3).tolist() == [[True, False, False]]


def test_an_emotion_that_nobody_shows_has_no_average_precision_and_costs_nothing(votes):
    votes = votes[votes[:, FERPLUS.index("contempt")] < 2]
    probabilities = np.full((len(votes), 8), 1 / 8, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score_labels(probabilities, votes)
    assert found.per_emotion["contempt"].average_precision is None
    others = [each.average_precision for each in found.per_emotion.values() if each.support]
    assert found.mean_average_precision == pytest.approx(np.mean(others))


@pytest.mark.parametrize(("vote", "mine"), [(0, 0.3), (0.3, 1.5)])
def test_a_threshold_out_of_range_is_refused(votes, vote, mine):
    with pytest.raises(UsageError, match="between 0 and 1"):
        score_labels(np.full((len(votes), 8), 1 / 8), votes, vote_threshold=vote, threshold=mine)


def test_without_a_clear_face_there_is_nothing_to_score():
    nobody = np.zeros((2, 10), np.uint8)
    nobody[:, VOTES.index("not a face")] = 10
    with pytest.raises(UsageError, match="clear labels"):
        score_labels(np.full((2, 8), 1 / 8), nobody)
