"""Scores of probabilities (N, C) against true classes (N,), in plain NumPy.

Three families: those of the counts of a confusion matrix (they take a stack of matrices, which makes the
bootstrap cheap), those of the probabilities, and curves over every threshold of one class' score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

# The smallest probability whose logarithm is taken, so that one certain mistake costs 15.9 nats and not
# infinity. Source: scikit-learn's `log_loss` clips float32 probabilities here.
FLOOR = float(np.finfo(np.float32).eps)


def check(probabilities: Floats, truth: Integers) -> None:
    """Nothing, if the two can be scored against each other.

    Raises:
        UsageError: shapes that do not fit, no faces, or a true class that is no column.
    """
    if probabilities.ndim != 2 or truth.shape != probabilities.shape[:1]:
        raise UsageError(
            f"probabilities must be (N, C) and truth (N,), not {probabilities.shape} and {truth.shape}."
        )
    if not len(truth):
        raise UsageError("there are no faces to score.")
    if truth.min() < 0 or truth.max() >= probabilities.shape[1]:
        raise UsageError(
            f"true classes must lie in 0..{probabilities.shape[1] - 1}, not {truth.min()}..{truth.max()}. "
            "Leave out faces without a label."
        )


def confusion(probabilities: Floats, truth: Integers) -> NDArray[np.int64]:
    """Counts (C, C): row the true class, column the most probable (the first of equals)."""
    check(probabilities, truth)
    classes = probabilities.shape[1]
    cells = truth * classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def confusion_by_subject(
    probabilities: Floats, truth: Integers, subjects: NDArray[np.str_]
) -> NDArray[np.int64]:
    """The counts of `confusion` for each subject alone, (S, C, C); `subjects` (N,) has that of each face."""
    check(probabilities, truth)
    classes = probabilities.shape[1]
    cells = truth * classes + probabilities.argmax(axis=1)
    return counts_by_subject(cells, classes * classes, subjects).reshape(-1, classes, classes)


def counts_by_subject(cells: Integers, count: int, subjects: NDArray[np.str_]) -> NDArray[np.int64]:
    """How many faces of each subject are in each cell, (S, count); `cells` (N,) has that of each face."""
    people, number = np.unique(subjects, return_inverse=True)
    found = np.bincount(number * count + cells, minlength=len(people) * count)
    return found.reshape(len(people), count).astype(np.int64)


# From counts (..., C, C). ---------------------------------------------------------------------------------


def support(counts: Integers) -> NDArray[np.int64]:
    """Faces that truly are of each class, (..., C)."""
    return np.asarray(counts.sum(axis=-1), np.int64)


def accuracy(counts: Integers) -> NDArray[np.float64]:
    """Share of faces on the diagonal, (...)."""
    return _divide(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def precision(counts: Integers) -> NDArray[np.float64]:
    """Share of each class's predictions that are correct, (..., C); 0 for a class never predicted."""
    return _divide(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-2))


def recall(counts: Integers) -> NDArray[np.float64]:
    """Share of each class's faces that were found, (..., C); 0 for a class without faces."""
    return _divide(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def f1(counts: Integers) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall, (..., C); 0 for a class neither present nor predicted."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return _divide(2 * hits, counts.sum(axis=-2) + counts.sum(axis=-1))


def macro(values: Floats, counts: Integers) -> NDArray[np.float64]:
    """Mean of a score (..., C) over the classes that have faces: each weighs the same, however rare.

    A class without faces in this data cannot be measured and is left out, where scikit-learn with all
    `labels` would count it as 0.
    """
    present = support(counts) > 0
    return _divide((values * present).sum(axis=-1), present.sum(axis=-1))


def balanced_accuracy(counts: Integers) -> NDArray[np.float64]:
    """Macro-averaged recall, (...)."""
    return macro(recall(counts), counts)


def macro_f1(counts: Integers) -> NDArray[np.float64]:
    """Macro-averaged F1, (...)."""
    return macro(f1(counts), counts)


def bootstrap_interval(
    counts: Integers,
    score: Callable[[Integers], NDArray[np.float64]],
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    by_subject: Integers | None = None,
) -> tuple[float, float]:
    """The percentile bootstrap interval of a score of the counts (C, C).

    It speaks of the sampling of faces, or of people with `by_subject` (see `resampled`), not of the seed that
    trained the model.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    drawn = resampled(counts, generator, resamples, by_subject)
    tail = (1 - level) / 2
    low, high = np.quantile(score(drawn), (tail, 1 - tail))
    return float(low), float(high)


def resampled(
    counts: Integers, generator: np.random.Generator, resamples: int, by_subject: Integers | None = None
) -> NDArray[np.int64]:
    """Confusion matrices of bootstrap samples, (resamples, C, C).

    Drawing n faces with replacement makes the counts multinomial, so the matrices are drawn directly: the
    same bootstrap, without `resamples` x n indices. With the counts of each subject, (S, C, C), whole people
    are drawn instead: frames of one person are not independent, and an interval over faces is too narrow.

    Source: Field & Welsh 2007, "Bootstrapping clustered data", the cluster bootstrap.
    """
    if by_subject is None:
        n = int(counts.sum())
        return generator.multinomial(n, counts.ravel() / n, size=resamples).reshape(-1, *counts.shape)
    people = len(by_subject)
    times = generator.multinomial(people, np.full(people, 1 / people), size=resamples)
    drawn: NDArray[np.int64] = (times @ by_subject.reshape(people, -1)).reshape(-1, *counts.shape)
    return drawn


def bootstrap_intervals(
    counts: Integers,
    score: Callable[[Integers], NDArray[np.float64]],
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    by_subject: Integers | None = None,
) -> NDArray[np.float64]:
    """The same of a score that gives each class a value, (C, 2): low and high of each."""
    drawn = resampled(counts, generator, resamples, by_subject)
    tail = (1 - level) / 2
    bounds: NDArray[np.float64] = np.quantile(score(drawn), (tail, 1 - tail), axis=0).T
    return bounds


# From probabilities. --------------------------------------------------------------------------------------


def top_k_accuracy(probabilities: Floats, truth: Integers, k: int) -> float:
    """Share of faces whose true class is among the k most probable; of equals, the first column is first."""
    check(probabilities, truth)
    rows = np.arange(len(truth))
    own = probabilities[rows, truth][:, None]
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    rank = ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)
    return float((rank < k).mean())


def negative_log_likelihood(probabilities: Floats, truth: Integers) -> float:
    """Mean of -log p(true class), in nats; p is clipped at `FLOOR`."""
    check(probabilities, truth)
    own = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(own, FLOOR, None)).mean())


def brier(probabilities: Floats, truth: Integers) -> float:
    """Mean squared distance from the one-hot truth, summed over the classes: 0 is perfect, 2 the worst.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    check(probabilities, truth)
    error = probabilities.astype(np.float64)
    error[np.arange(len(truth)), truth] -= 1
    return float((error**2).sum(axis=1).mean())


def _divide(above: Floats | Integers, below: Floats | Integers) -> NDArray[np.float64]:
    """Their ratio; 0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros(np.shape(above), np.float64), where=np.asarray(below) > 0)


# Curves. --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Roc:
    """True against false positive rate, from "no face is called positive" to "all are"; arrays are (K,).

    Attributes:
        false_positive_rate: share of the negative faces at or above the threshold, rising from 0 to 1.
        true_positive_rate: share of the positive ones, likewise.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]

    @property
    def auc(self) -> float:
        """The area below: how often a positive face gets the higher score than a negative one."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision against recall, from the highest threshold to the lowest; arrays are (K,).

    Attributes:
        recall: share of the positive faces at or above the threshold, rising to 1.
        precision: share of the faces at or above it that are positive.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]

    @property
    def average_precision(self) -> float:
        """Precision averaged over the recall that each threshold adds, without interpolation."""
        return float((np.diff(self.recall, prepend=0) * self.precision).sum())


def roc(scores: Floats, positive: NDArray[np.bool_]) -> Roc:
    """The ROC curve of scores (N,), the higher the more likely positive; equal scores are one step.

    Raises:
        UsageError: no face is positive, or none negative.
    """
    hits, called = _steps(scores, positive)
    if positive.all():
        raise UsageError("an ROC curve needs negative faces, and every face is positive.")
    false = called - hits
    return Roc(_from_zero(false / false[-1]), _from_zero(hits / hits[-1]))


def precision_recall(scores: Floats, positive: NDArray[np.bool_]) -> PrecisionRecall:
    """The precision-recall curve of scores (N,), the higher the more likely positive.

    Raises:
        UsageError: no face is positive.
    """
    hits, called = _steps(scores, positive)
    return PrecisionRecall(hits / hits[-1], hits / called)


def _steps(scores: Floats, positive: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """At each different score, from the highest: positive faces, and all faces, at or above it."""
    if not positive.any():
        raise UsageError("a curve needs positive faces, and there are none.")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return np.cumsum(positive[order])[last].astype(np.int64), (last + 1).astype(np.int64)


def _from_zero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.append(0.0, values)
