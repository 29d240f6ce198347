"""Curves over every threshold of a score: ROC and precision against recall, one class against the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluation.metrics.classification import Floats


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
