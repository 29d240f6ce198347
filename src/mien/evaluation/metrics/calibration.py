"""Whether confidence can be trusted: reliability bins, calibration error, accuracy against coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics.classification import Floats, Integers, check

# Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4, and most tables since.
BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Faces grouped by the confidence of their most probable class; all arrays are (bins,).

    Attributes:
        count: faces in the bin.
        confidence: their mean confidence, 0 in an empty bin.
        accuracy: share of them that are right, 0 in an empty bin.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: the gap between confidence and accuracy, weighted by faces."""
        gap = np.abs(self.confidence - self.accuracy)
        return float((self.count * gap).sum() / self.count.sum())


def reliability(probabilities: Floats, truth: Integers, *, bins: int = BINS) -> Reliability:
    """Faces in `bins` equally wide intervals of confidence, (0, 1/bins], ... (1 - 1/bins, 1]."""
    confidence, right = confidence_and_right(probabilities, truth)
    return grouped(equal_width(confidence, bins), confidence, right, bins)


def adaptive_reliability(probabilities: Floats, truth: Integers, *, bins: int = BINS) -> Reliability:
    """Faces in `bins` groups of equal size, from the least to the most confident.

    Source: Nixon et al. 2019, "Measuring Calibration in Deep Learning", section 3.3.
    """
    confidence, right = confidence_and_right(probabilities, truth)
    group = np.empty(len(truth), np.int64)
    group[np.argsort(confidence, kind="stable")] = np.arange(len(truth)) * bins // len(truth)
    return grouped(group, confidence, right, bins)


def calibration_error(probabilities: Floats, truth: Integers, *, bins: int = BINS) -> float:
    """The expected calibration error of the most probable class, 0..1, over equally wide bins."""
    return reliability(probabilities, truth, bins=bins).error


def expected_calibration_noise(
    probabilities: Floats, generator: np.random.Generator, *, bins: int = BINS, draws: int = 200
) -> float:
    """The calibration error that a perfectly calibrated model with these confidences would show.

    Chance alone fills each bin with a few too many or too few correct predictions, so on N faces no model has
    an error of 0. A measured error at or below this cannot be distinguished from perfect calibration.

    Source: the consistency resampling of Bröcker & Smith 2007, "Increasing the Reliability of Reliability
    Diagrams", averaged.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    group = equal_width(confidence, bins)
    errors = [
        grouped(group, confidence, generator.random(len(confidence)) < confidence, bins).error
        for _ in range(draws)
    ]
    return float(np.mean(errors))


def bias_corrected_error(
    confidence: NDArray[np.float64], right: NDArray[np.float64], *, bins: int = BINS
) -> float:
    """The root of the mean squared calibration error without the part that chance has in it.

    `confidence` and `right` are (N,); `right` is 0 or 1, or the share of the voters. In a bin of n faces the
    squared mean gap between the two is by chance too large by the variance of that mean; taking it off leaves
    an unbiased estimate, whose root is 0 where less than nothing is left. A root mean square is never below
    the mean, so what it estimates is no less than the calibration error itself.

    Source: Kumar et al. 2019, "Verified Uncertainty Calibration", section 4 (the debiased estimator).
    """
    gap, group = confidence - right, equal_width(confidence, bins)
    count = np.bincount(group, minlength=bins)
    filled = count > 1
    n = count[filled]
    mean = np.bincount(group, weights=gap, minlength=bins)[filled] / n
    squares = np.bincount(group, weights=gap**2, minlength=bins)[filled] / n
    variance = (squares - mean**2) / (n - 1)
    squared = float((n * (mean**2 - variance)).sum() / max(n.sum(), 1))
    return math.sqrt(max(squared, 0.0))


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """Accuracy on the most confident faces, from one face to all; all arrays are (N,).

    Attributes:
        coverage: share of the faces that are kept, rising to 1.
        accuracy: share of those that are right.
        confidence: the lowest confidence among those: keep predictions from it on to get this point.
    """

    coverage: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def accuracy_at(self, coverage: float) -> float:
        """Accuracy on that share of the faces, the most confident first (at least one face)."""
        n = len(self.coverage)
        return float(self.accuracy[min(n, max(1, round(coverage * n))) - 1])


def coverage_curve(probabilities: Floats, truth: Integers) -> CoverageCurve:
    """How accuracy rises when only the most confident predictions are kept.

    Source: Geifman & El-Yaniv 2017, "Selective Classification for Deep Neural Networks".
    """
    confidence, right = confidence_and_right(probabilities, truth)
    order = np.argsort(-confidence, kind="stable")
    kept = np.arange(1, len(truth) + 1)
    return CoverageCurve(kept / len(truth), np.cumsum(right[order]) / kept, confidence[order])


def confidence_and_right(
    probabilities: Floats, truth: Integers
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probability of each face's most probable class, (N,), and whether it is the true class, (N,)."""
    check(probabilities, truth)
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == truth


def equal_width(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each confidence, 0..bins - 1; an upper edge belongs to its bin."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def grouped(
    group: NDArray[np.int64], confidence: NDArray[np.float64], right: Floats | NDArray[np.bool_], bins: int
) -> Reliability:
    """Means of confidence and of `right` (true or false, or a share) in each group."""
    count = np.bincount(group, minlength=bins)
    divisor = np.maximum(count, 1)
    return Reliability(
        count.astype(np.int64),
        np.bincount(group, weights=confidence, minlength=bins) / divisor,
        np.bincount(group, weights=right, minlength=bins) / divisor,
    )
