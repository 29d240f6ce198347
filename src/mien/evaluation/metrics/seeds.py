"""Scores of networks that differ in their seeds, on the same faces: means, intervals, differences.

Two things vary by chance: the seed that a network was trained with, and the faces that it is measured on.
Both are in every interval here, so that it holds for other seeds and for other faces.

Source: Clark 1973, "The language-as-fixed-effect fallacy": the variance of both samples is added, and the
degrees of freedom are Satterthwaite's (min F'). The sum counts what seeds and faces share twice, so intervals
are a little too wide rather than too narrow.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.classification import Integers
from mien.evaluation.metrics.significance import Difference

# Resamples that are drawn at once: of 30,000 faces they take 24 MB.
_AT_ONCE = 100


@dataclass(frozen=True)
class MeanOfSeeds:
    """The mean of a score over the seeds, its sample standard deviation, and its interval of 95 %."""

    value: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedSeeds:
    """Two recipes compared on n faces, by the networks of one or several seeds of each.

    Attributes:
        accuracy: the mean of the second's less that of the first's.
        macro_f1: the same of macro F1.
        p: the two-sided p-value of the difference in accuracy.
        detectable: the smallest difference in accuracy that would be found in half of all cases.
        seeds: how many networks of the first and the second.
        same_seeds: whether both have the same seeds, which are then compared one by one.
        share_of_seeds: how much of the variance of the difference in accuracy is that of the seeds.
    """

    n: int
    accuracy: Difference
    macro_f1: Difference
    p: float
    detectable: float
    seeds: tuple[int, int]
    same_seeds: bool
    share_of_seeds: float

    def evidence(self, first: str, second: str) -> str:
        """What the p-value rests on, in words."""
        if self.same_seeds:
            how = f"{self.seeds[0]} seeds of each, compared seed by seed"
        else:
            each = zip((first, second), self.seeds, strict=True)
            how = " and ".join(f"{k} seeds of {name}" if k > 1 else f"one {name}" for name, k in each)
        return f"{how}; {self.share_of_seeds:.0%} of the variance is that of the seeds, the rest of the faces"


@dataclass(frozen=True, eq=False)
class SeedScores:
    """Accuracy and macro F1 of K networks: as measured, (K,), and in resamples of the faces, (R, K)."""

    accuracy: NDArray[np.float64]
    macro_f1: NDArray[np.float64]
    drawn_accuracy: NDArray[np.float64]
    drawn_macro_f1: NDArray[np.float64]
    units: int  # that were drawn: faces, or people


def score_networks(
    truth: Integers,
    predicted: Integers,
    classes: int,
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    subjects: NDArray[np.str_] | None = None,
) -> SeedScores:
    """The scores of K networks, predictions (K, N), on faces with the truth (N,), all indices of classes.

    Each resample draws the same faces for all networks, with replacement; with `subjects`, (N,), people with
    all their faces.
    """
    unit = np.arange(len(truth)) if subjects is None else np.unique(subjects, return_inverse=True)[1]
    units = int(unit.max()) + 1
    # Whole numbers as float64, for which NumPy multiplies matrices fast.
    whole: list[NDArray[np.int64]] = []
    by_unit: list[NDArray[np.float64]] = []
    for row in predicted:
        cells = unit * classes**2 + truth * classes + row
        counts = np.bincount(cells, minlength=units * classes**2).reshape(units, classes**2)
        whole.append(counts.sum(axis=0).reshape(classes, classes))
        by_unit.append(counts.astype(np.float64))
    drawn: list[NDArray[np.float64]] = []
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        times = generator.multinomial(units, np.full(units, 1 / units), size=size).astype(np.float64)
        drawn.append(np.stack([times @ counts for counts in by_unit], axis=1))  # (size, K, C * C)
    matrices = np.concatenate(drawn).astype(np.int64).reshape(-1, len(predicted), classes, classes)
    return SeedScores(
        metrics.accuracy(np.stack(whole)),
        metrics.macro_f1(np.stack(whole)),
        metrics.accuracy(matrices),
        metrics.macro_f1(matrices),
        units,
    )


def mean_of_seeds(scores: NDArray[np.float64], drawn: NDArray[np.float64], units: int) -> MeanOfSeeds:
    """The mean of a score (K,) over K seeds, two or more, with its resamples (R, K) of so many units."""
    spread = [_of_seeds(scores), _of_faces(drawn.mean(axis=1), units)]
    value, reach = float(scores.mean()), _reach(spread)
    return MeanOfSeeds(value, statistics.stdev(scores.tolist()), value - reach, value + reach)


def compare_seeds(
    scores: SeedScores, first: Sequence[int], second: Sequence[int], n: int, *, same_seeds: bool
) -> PairedSeeds:
    """Two groups of networks compared on n faces, by their columns in the scores.

    With `same_seeds` the networks are paired in the order given. A group of one network stands for itself
    alone: the seeds of the other are then all the chance of training that there is.
    """
    from scipy.stats import t

    kind = (first, second, same_seeds, scores.units)
    accuracy, variances = _difference(scores.accuracy, scores.drawn_accuracy, *kind)
    macro_f1, _ = _difference(scores.macro_f1, scores.drawn_macro_f1, *kind)
    error, freedom = _error(variances)
    p = 2 * float(t.sf(abs(accuracy.value) / error, freedom)) if error else float(accuracy.value == 0)
    return PairedSeeds(
        n=n,
        accuracy=accuracy,
        macro_f1=macro_f1,
        p=p,
        detectable=_reach(variances),
        seeds=(len(first), len(second)),
        same_seeds=same_seeds,
        share_of_seeds=1 - variances[-1].value / error**2 if error else 0.0,
    )


@dataclass(frozen=True)
class _Variance:
    """A part of the variance of a mean, and the degrees of freedom of its estimate."""

    value: float
    freedom: int


def _difference(
    values: NDArray[np.float64],
    drawn: NDArray[np.float64],
    first: Sequence[int],
    second: Sequence[int],
    same_seeds: bool,
    units: int,
) -> tuple[Difference, list[_Variance]]:
    """The difference of the means, and its variances: those of the seeds, and that of the faces last."""
    a, b = values[list(first)], values[list(second)]
    variances = [_of_seeds(b - a)] if same_seeds else [_of_seeds(each) for each in (a, b) if len(each) > 1]
    gain = drawn[:, list(second)].mean(axis=1) - drawn[:, list(first)].mean(axis=1)
    variances.append(_of_faces(gain, units))
    value, reach = float(b.mean() - a.mean()), _reach(variances)
    return Difference(value, value - reach, value + reach), variances


def _of_seeds(scores: NDArray[np.float64]) -> _Variance:
    return _Variance(float(scores.var(ddof=1)) / len(scores), len(scores) - 1)


def _of_faces(drawn: NDArray[np.float64], units: int) -> _Variance:
    return _Variance(float(drawn.var()), max(units - 1, 1))


def _error(variances: Sequence[_Variance]) -> tuple[float, float]:
    """The standard error of a sum of variances, and its degrees of freedom (Satterthwaite 1946)."""
    total = math.fsum(each.value for each in variances)
    below = math.fsum(each.value**2 / each.freedom for each in variances)
    return math.sqrt(total), total**2 / below if below else math.inf


def _reach(variances: Sequence[_Variance]) -> float:
    """Half the interval of 95 %."""
    from scipy.stats import t

    error, freedom = _error(variances)
    return float(t.ppf(0.975, freedom)) * error
