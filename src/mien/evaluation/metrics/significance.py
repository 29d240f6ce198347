"""Two classifiers on the same faces: how far apart they are, and whether chance alone could do that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.classification import Integers

# What is called real: a p-value below it, adjusted where several pairs were tested.
ALPHA = 0.05


@dataclass(frozen=True)
class McNemar:
    """Faces that only one of two classifiers named right, and how likely so lopsided a split is by chance.

    Attributes:
        only_first, only_second: faces that one named right and the other did not.
        exact: two-sided p-value of the exact test: both halves of a fair coin.
        mid_p: the same with half the weight on what was seen; less cautious, and nearer to its promise.
    """

    only_first: int
    only_second: int
    exact: float
    mid_p: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """McNemar's test of whether two classifiers are right equally often; (N,) each: who was right on a face.

    Source: McNemar 1947; the mid-p version and the advice to prefer it: Fagerland, Lydersen & Laake 2013,
    "The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional".
    """
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    n, k = b + c, min(b, c)
    # Of n tosses of a fair coin: the probability of exactly i heads, by logarithms, for n may be thousands.
    log_half = n * math.log(2)
    mass = [
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - log_half)
        for i in range(k + 1)
    ]
    tail, seen = math.fsum(mass), mass[-1]
    return McNemar(b, c, min(1.0, 2 * tail), min(1.0, 2 * tail - seen))


@dataclass(frozen=True)
class Difference:
    """The second's score less the first's, with its paired bootstrap interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Two classifiers compared on n faces.

    Attributes:
        accuracy: the second's less the first's.
        macro_f1: the same of macro F1.
        agree: share of the faces on which both predicted the same class.
        detectable: the smallest difference in accuracy that so many faces, with as many on which the two
            differ, would show as real in half of all cases.
    """

    n: int
    accuracy: Difference
    macro_f1: Difference
    test: McNemar
    agree: float
    detectable: float


def compare_paired(
    truth: Integers,
    first: Integers,
    second: Integers,
    classes: int,
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    subjects: NDArray[np.str_] | None = None,
) -> Paired:
    """The predictions (N,) of two classifiers for the same faces compared, and the truth (N,), all indices.

    Faces are drawn with replacement, and each brings both predictions, so what both find hard cancels out.
    The intervals speak of the sampling of faces alone: another seed would have trained another network. With
    the `subjects` of the faces, (N,), people are drawn with all their faces. McNemar's test takes the faces
    as independent in any case.

    Raises:
        UsageError: arrays that do not fit, or no faces.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 8.
    """
    if not len(truth) or truth.shape != first.shape or truth.shape != second.shape:
        raise UsageError(
            f"truth and predictions must be (N,), N > 0, not {truth.shape}, {first.shape}, {second.shape}."
        )
    n = len(truth)
    # Faces of the same truth and predictions are interchangeable: drawing their counts draws the faces.
    cells, cell, counts = np.unique(
        np.stack([truth, first, second]), axis=1, return_inverse=True, return_counts=True
    )
    by_subject = None if subjects is None else metrics.counts_by_subject(cell.ravel(), len(counts), subjects)
    drawn = metrics.resampled(counts, generator, resamples, by_subject)  # (resamples, cells)
    accuracy = [
        _accuracy(cells[0], predicted, each) for predicted in cells[1:] for each in (counts[None], drawn)
    ]
    f1 = [
        _macro_f1(cells[0], predicted, each, classes)
        for predicted in cells[1:]
        for each in (counts[None], drawn)
    ]
    test = mcnemar(first == truth, second == truth)
    return Paired(
        n=n,
        accuracy=_difference(*accuracy),
        macro_f1=_difference(*f1),
        test=test,
        agree=float((first == second).mean()),
        detectable=1.96 * math.sqrt(max(test.only_first + test.only_second, 1)) / n,
    )


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted for testing all of them, in the same order.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def verdict(paired: Paired, first: str, second: str, p: float) -> str:
    """Whether the difference is real, in words. `p` is mid-p, adjusted where there are several pairs."""
    points, low, high = (100 * x for x in (paired.accuracy.value, paired.accuracy.low, paired.accuracy.high))
    better, worse = (second, first) if points > 0 else (first, second)
    if points < 0:
        points, low, high = -points, -high, -low
    facts = f"95 % interval {low:+.1f} to {high:+.1f}, p {_p(p)}, n = {paired.n:,}"
    if p < ALPHA:
        return f"The difference is real: {better} is ahead of {worse} by {points:.1f} points ({facts})."
    if points == 0:
        return f"No difference: {first} and {second} are right equally often ({facts})."
    return (
        f"No real difference can be shown: {better} is ahead of {worse} by {points:.1f} points, which chance "
        f"alone could bring about ({facts}). Differences below about {100 * paired.detectable:.1f} points "
        "are too small for so few faces."
    )


def _p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}" if p < 0.01 else f"= {p:.2f}"


def _difference(
    first: NDArray[np.float64],
    first_drawn: NDArray[np.float64],
    second: NDArray[np.float64],
    second_drawn: NDArray[np.float64],
) -> Difference:
    low, high = np.quantile(second_drawn - first_drawn, (0.025, 0.975))
    return Difference(float(second[0] - first[0]), float(low), float(high))


def _accuracy(truth: Integers, predicted: Integers, counts: Integers) -> NDArray[np.float64]:
    """Of each row of counts (R, cells), (R,)."""
    right: NDArray[np.float64] = counts[:, truth == predicted].sum(axis=1) / counts.sum(axis=1)
    return right


def _macro_f1(truth: Integers, predicted: Integers, counts: Integers, classes: int) -> NDArray[np.float64]:
    """Of each row of counts (R, cells), (R,)."""
    matrices = np.zeros((len(counts), classes * classes), np.int64)
    for index, cell in enumerate(truth * classes + predicted):
        matrices[:, cell] += counts[:, index]
    return metrics.macro_f1(matrices.reshape(-1, classes, classes))
