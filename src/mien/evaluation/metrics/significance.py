"""Two classifiers on the same faces: how far apart they are, and whether chance alone could do that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

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
        people: whose faces the two classifiers differ on, where each person is one toss; None where each
            face is.
    """

    only_first: int
    only_second: int
    exact: float
    mid_p: float
    people: int | None = None


def mcnemar(
    first: NDArray[np.bool_], second: NDArray[np.bool_], subjects: NDArray[np.str_] | None = None
) -> McNemar:
    """McNemar's test of whether two classifiers are right equally often; (N,) each: who was right on a face.

    With the `subjects` of the faces, (N,), the coin is tossed once per person, for all of their faces:
    frames of one person are not independent. With one face per person it is McNemar's test.

    Source: McNemar 1947; the mid-p version and the advice to prefer it: Fagerland, Lydersen & Laake 2013,
    "The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional".
    Over people: Fisher's exact test of paired differences (1935, "The Design of Experiments", section 21).
    """
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    if subjects is not None:
        return _mcnemar_over_people(b, c, second.astype(np.int64) - first, subjects)
    n, k = b + c, min(b, c)
    # Of n tosses of a fair coin: the probability of exactly i heads, by logarithms, for n may be thousands.
    log_half = n * math.log(2)
    mass = [
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - log_half)
        for i in range(k + 1)
    ]
    tail, seen = math.fsum(mass), mass[-1]
    return McNemar(b, c, min(1.0, 2 * tail), min(1.0, 2 * tail - seen))


def _mcnemar_over_people(b: int, c: int, gain: NDArray[np.int64], subjects: NDArray[np.str_]) -> McNemar:
    """The exact distribution of the sum of all people's gains, the sign of each a fair coin."""
    _, person = np.unique(subjects, return_inverse=True)
    sizes = np.abs(np.bincount(person, weights=gain)).astype(np.int64)
    sizes = sizes[sizes > 0]
    reach = int(sizes.sum())
    mass = np.zeros(2 * reach + 1)  # of the sums -reach ... reach
    mass[reach] = 1.0
    for size in sizes:
        tossed = np.zeros_like(mass)
        tossed[size:] += mass[:-size] / 2
        tossed[:-size] += mass[size:] / 2
        mass = tossed
    sums = np.abs(np.arange(-reach, reach + 1))
    tail, seen = float(mass[sums >= abs(c - b)].sum()), float(mass[sums == abs(c - b)].sum())
    mid_p = tail - seen / 2 if b != c else 1.0
    return McNemar(b, c, min(1.0, tail), mid_p, len(sizes))


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
        test: McNemar's; over people where they are known.
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

    @property
    def p(self) -> float:
        """The p-value that decides: mid-p."""
        return self.test.mid_p

    def evidence(self, first: str, second: str) -> str:
        """What the p-value rests on, in words."""
        test = self.test
        over = "" if test.people is None else f", over the {test.people:,} people on whom they differ,"
        return (
            f"{test.only_first:,} faces only {first} predicted correctly, {test.only_second:,} only "
            f"{second}; McNemar{over} exact p {test.exact:.3g}, mid-p {test.mid_p:.3g}"
        )


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
    the `subjects` of the faces, (N,), people are drawn with all their faces; McNemar's test is over people.

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
    test = mcnemar(first == truth, second == truth, subjects)
    return Paired(
        n=n,
        accuracy=_difference(*accuracy),
        macro_f1=_difference(*f1),
        test=test,
        agree=float((first == second).mean()),
        detectable=1.96 * math.sqrt(max(_squared_gains(truth, first, second, subjects), 1)) / n,
    )


def _squared_gains(
    truth: Integers, first: Integers, second: Integers, subjects: NDArray[np.str_] | None
) -> float:
    """The variance of the sum of gains if each sign were a coin: of each face, or each person."""
    gain = (second == truth).astype(np.float64) - (first == truth)
    if subjects is not None:
        gain = np.bincount(np.unique(subjects, return_inverse=True)[1], weights=gain)
    return float((gain**2).sum())


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


class Compared(Protocol):
    """What a verdict rests on: of two networks, or of several seeds of each."""

    @property
    def n(self) -> int:
        """Faces."""

    @property
    def accuracy(self) -> Difference:
        """The second's less the first's."""

    @property
    def detectable(self) -> float:
        """The smallest difference that would be found in half of all cases."""


def verdict(paired: Compared, first: str, second: str, p: float) -> str:
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
