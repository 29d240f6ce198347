"""The votes as truth, against the paper's rule told by hand and SciPy's divergences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from mien.data.votes import NO_MAJORITY, majority, vote_shares
from mien.emotions import FERPLUS, VOTES
from mien.errors import UsageError
from mien.evaluation.metrics.calibration import calibration_error
from mien.evaluation.metrics.votes import (
    divergence,
    score_votes,
    smoothed_one_hot,
)


def ballot(**votes: int) -> np.ndarray:
    """One face's ten votes; not_a_face for "not a face"."""
    row = np.zeros((1, len(VOTES)), np.uint8)
    for name, count in votes.items():
        row[0, VOTES.index(name.replace("_", " "))] = count
    return row


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (ballot(happy=10), "happy"),
        (ballot(happy=6, neutral=4), "happy"),
        (ballot(neutral=5, sad=5), None),
        # 4 + 1 + 3 + 2: single votes are struck, and 4 of 9 is no majority. Training's first face.
        (ballot(neutral=4, sad=1, angry=3, disgust=2), None),
        # 5 of 10 is no majority, but 5 of the 9 that are left is.
        (ballot(fear=5, surprise=4, sad=1), "fear"),
        (ballot(unknown=6, sad=4), None),
        (ballot(not_a_face=10), None),
        # "unknown" counts in the whole: 4 of 8.
        (ballot(angry=4, unknown=4), None),
        (ballot(contempt=3, angry=2), "contempt"),
        # Ten single votes: nothing is left.
        (np.ones((1, 10), np.uint8), None),
        (np.zeros((1, 10), np.uint8), None),
    ],
)
def test_majority_follows_the_paper(votes, expected):
    found = majority(votes)
    assert found.tolist() == [NO_MAJORITY if expected is None else FERPLUS.index(expected)]


def test_majority_of_no_faces_is_empty():
    assert majority(np.zeros((0, 10), np.uint8)).shape == (0,)


def test_shares_count_every_vote_for_an_emotion():
    row = vote_shares(ballot(neutral=6, surprise=1, sad=1, unknown=2))[0]
    assert dict(zip(FERPLUS, row, strict=True))["neutral"] == 0.75
    assert row.sum() == 1
    assert vote_shares(ballot(unknown=10)).sum() == 0


def test_divergence_is_scipys(rng):
    voters = rng.dirichlet(np.ones(8), size=40)
    voters[voters < 0.1] = 0
    voters /= voters.sum(axis=1, keepdims=True)
    predicted = rng.dirichlet(np.ones(8), size=40)
    np.testing.assert_allclose(divergence(voters, predicted), special.rel_entr(voters, predicted).sum(axis=1))


def test_divergence_from_itself_is_zero_and_from_an_impossible_emotion_finite():
    sure = np.eye(8)[:1]
    assert divergence(sure, sure) == pytest.approx(0)
    assert 15 < divergence(sure, np.eye(8)[1:2])[0] < 17


def test_baseline_smoothing_is_the_best_one(rng):
    voters = rng.dirichlet(np.full(8, 0.3), size=200)
    predicted = rng.dirichlet(np.full(8, 0.3), size=200) + 2 * voters
    predicted /= predicted.sum(axis=1, keepdims=True)
    top = np.eye(8)[predicted.argmax(axis=1)]
    best = optimize.minimize_scalar(
        lambda s: special.rel_entr(voters, (1 - s) * top + s / 8).sum(axis=1).mean(),
        bounds=(0, 1),
        method="bounded",
    )
    smoothed, smoothing = smoothed_one_hot(predicted, voters)
    assert smoothing == pytest.approx(best.x, abs=1e-4)
    np.testing.assert_allclose(smoothed, (1 - smoothing) * top + smoothing / 8)
    assert divergence(voters, smoothed).mean() == pytest.approx(best.fun, rel=1e-6)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def polled(rng) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (400, 8) and ten votes a face drawn from them."""
    probabilities = rng.dirichlet(np.full(8, 0.25), size=400)
    votes = np.zeros((400, 10), np.uint8)
    votes[:, :8] = rng.multinomial(10, probabilities)
    return probabilities, votes


def test_vote_scores_cover_the_faces_with_a_majority(polled, rng):
    probabilities, votes = polled
    votes[:50] = ballot(unknown=10)
    truth = majority(votes)
    clear = truth >= 0
    scores = score_votes(probabilities, votes, rng)
    assert scores.n == clear.sum() < 350
    assert scores.accuracy == (probabilities.argmax(axis=1) == truth)[clear].mean()
    assert scores.accuracy_ci95[0] < scores.accuracy < scores.accuracy_ci95[1]
    assert scores.ece == pytest.approx(calibration_error(probabilities[clear], truth[clear]))
    voters = votes[clear, :8] / votes[clear, :8].sum(axis=1, keepdims=True)
    assert scores.kl == pytest.approx(special.rel_entr(voters, probabilities[clear]).sum(axis=1).mean())


def test_probabilities_that_the_votes_came_from_beat_any_single_label(polled, rng):
    scores = score_votes(*polled, rng)
    assert scores.kl_reduction == pytest.approx(1 - scores.kl / scores.kl_baseline)
    assert scores.kl_reduction > 0.3


def test_a_smoothed_label_gains_nothing_over_itself(polled, rng):
    probabilities, votes = polled
    clear = majority(votes) >= 0
    smoothed, _ = smoothed_one_hot(probabilities[clear], vote_shares(votes[clear]))
    assert score_votes(smoothed, votes[clear], rng).kl_reduction == pytest.approx(0)


def test_a_model_that_knows_the_shares_is_calibrated_to_the_voters_and_not_to_the_majority(rng):
    """Confidence as a share of voters lies below the rate at which the majority agrees: two questions."""
    votes = np.tile(ballot(happy=7, neutral=3), (100, 1))
    scores = score_votes(vote_shares(votes), votes, rng)
    assert scores.ece_voters == pytest.approx(0)
    assert scores.ece == pytest.approx(0.3)


def test_votes_without_any_majority_are_refused(rng):
    with pytest.raises(UsageError, match="none of the 3 faces has a majority"):
        score_votes(np.full((3, 8), 1 / 8), np.tile(ballot(unknown=10), (3, 1)), rng)


def test_probabilities_of_other_columns_are_refused(rng):
    with pytest.raises(UsageError, match=r"must be \(1, 8\), not \(1, 10\)"):
        score_votes(np.full((1, 10), 0.1), ballot(happy=10), rng)
