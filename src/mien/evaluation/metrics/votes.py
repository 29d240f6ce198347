"""Ten people's votes as the truth: the FER+ majority, and the distance to the voters' shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data.votes import NO_MAJORITY, majority, vote_shares
from mien.emotions import FERPLUS
from mien.errors import UsageError
from mien.evaluation.metrics.calibration import BINS, Reliability, calibration_error, equal_width, grouped
from mien.evaluation.metrics.classification import (
    FLOOR,
    Floats,
    accuracy,
    bootstrap_interval,
    confusion,
    macro_f1,
)

_EMOTIONS = len(FERPLUS)


@dataclass(frozen=True)
class VoteScores:
    """How well probabilities of the eight emotions fit the votes, on the faces that have a majority.

    Attributes:
        accuracy: share of faces whose most probable emotion is the majority's.
        accuracy_ci95: its bootstrap interval.
        macro_f1: against the majority, over the emotions that are some face's majority.
        ece: calibration error of the most probable emotion against the majority.
        ece_voters: the same against the share of the voters who chose that emotion.
        kl: mean KL(voters || probabilities) in nats.
        kl_baseline: the same for a smoothed one-hot of the model's own most probable emotion.
        kl_reduction: 1 - kl / kl_baseline, what the rest of the distribution is worth.
        baseline_smoothing: the smoothing of that baseline, the one that serves it best.
        n: faces with a majority.
        head: which of the model's heads was scored.
    """

    accuracy: float
    accuracy_ci95: tuple[float, float]
    macro_f1: float
    ece: float
    ece_voters: float
    kl: float
    kl_baseline: float
    kl_reduction: float
    baseline_smoothing: float
    n: int
    head: str


def divergence(voters: NDArray[np.float64], probabilities: Floats) -> NDArray[np.float64]:
    """KL(voters || probabilities) of each face, in nats, (N,); probabilities are clipped at `FLOOR`."""
    predicted = np.maximum(probabilities.astype(np.float64), FLOOR)
    ratio = np.divide(voters, predicted, out=np.ones_like(voters), where=voters > 0)
    distance: NDArray[np.float64] = (voters * np.log(ratio)).sum(axis=1)
    return distance


def smoothed_one_hot(probabilities: Floats, voters: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The best fit of one label to the votes: each face's most probable class smoothed, and how much.

    The smoothing s gives the most probable class 1 - s + s / C and each other s / C. It is the one that makes
    the mean KL to these very voters least, so a model that beats this baseline beats it at every smoothing.
    With a the mean share of the voters on the most probable class, the cross-entropy -a log(1 - s + s / C) -
    (1 - a) log(s / C) is least where the most probable class gets a.
    """
    n, classes = probabilities.shape
    rows, top = np.arange(n), probabilities.argmax(axis=1)
    smoothing = min(1.0, float(1 - voters[rows, top].mean()) * classes / (classes - 1))
    smoothed = np.full((n, classes), smoothing / classes)
    smoothed[rows, top] += 1 - smoothing
    return smoothed, smoothing


def score_votes(
    probabilities: Floats,
    votes: NDArray[np.uint8],
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    head: str = "votes",
) -> VoteScores:
    """Scores of probabilities (N, 8), columns as in `FERPLUS`, against votes (N, 10).

    Faces without a majority are left out of all of them.

    Raises:
        UsageError: other shapes, or no face has a majority.
    """
    if probabilities.shape != (len(votes), _EMOTIONS):
        raise UsageError(f"probabilities must be {(len(votes), _EMOTIONS)}, not {probabilities.shape}.")
    truth = majority(votes)
    clear = truth != NO_MAJORITY
    if not clear.any():
        raise UsageError(f"none of the {len(votes)} faces has a majority emotion among its votes.")
    truth, predicted, voters = truth[clear], probabilities[clear], vote_shares(votes[clear])
    counts = confusion(predicted, truth)
    kl = float(divergence(voters, predicted).mean())
    baseline, smoothing = smoothed_one_hot(predicted, voters)
    kl_baseline = float(divergence(voters, baseline).mean())
    return VoteScores(
        accuracy=float(accuracy(counts)),
        accuracy_ci95=bootstrap_interval(counts, accuracy, generator, resamples=resamples),
        macro_f1=float(macro_f1(counts)),
        ece=calibration_error(predicted, truth),
        ece_voters=voters_calibration_error(predicted, voters),
        kl=kl,
        kl_baseline=kl_baseline,
        kl_reduction=1 - kl / kl_baseline if kl_baseline else 0.0,
        baseline_smoothing=smoothing,
        n=int(clear.sum()),
        head=head,
    )


def voters_calibration_error(probabilities: Floats, voters: NDArray[np.float64]) -> float:
    """The calibration error with the voters' share of the most probable emotion in place of right or wrong.

    Both are (N, C), columns alike.
    """
    rows, top = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    gap = probabilities[rows, top].astype(np.float64) - voters[rows, top]
    group = equal_width(gap + voters[rows, top], BINS)
    return float(np.abs(np.bincount(group, weights=gap, minlength=BINS)).sum() / len(gap))


def voters_reliability(probabilities: Floats, voters: NDArray[np.float64]) -> Reliability:
    """Bins of confidence with the voters' mean share of the most probable emotion in place of accuracy.

    Both are (N, C), columns alike; its `error` is `voters_calibration_error`.
    """
    rows, top = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    confidence = probabilities[rows, top].astype(np.float64)
    return grouped(equal_width(confidence, BINS), confidence, voters[rows, top], BINS)


def expected_voters_noise(
    probabilities: Floats, generator: np.random.Generator, *, voters: int = 10, draws: int = 200
) -> float:
    """The calibration error against the voters that a model would show whose probabilities they vote by.

    Ten people are few, so their shares differ from the probabilities of a perfect model by chance alone.
    """
    confidence = probabilities.max(axis=1).astype(np.float64).clip(0, 1)
    group = equal_width(confidence, BINS)
    errors = []
    for _ in range(draws):
        gap = confidence - generator.binomial(voters, confidence) / voters
        errors.append(np.abs(np.bincount(group, weights=gap, minlength=BINS)).sum() / len(gap))
    return float(np.mean(errors))
