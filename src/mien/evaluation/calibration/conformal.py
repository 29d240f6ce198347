"""Sets of classes that hold the truth as often as promised: split conformal prediction, adaptive.

The score of a class is the probability of all classes that are more probable (APS; Romano, Sesia & Candès
2020, "Classification with Valid and Adaptive Coverage", with their random number at 0, so that the same face
always has the same set). One threshold on it makes the sets: a confident answer has one class, a flat one has
many. The price: where a single class holds the truth more often than was promised, as for faces that most
people agree on, a set cannot be smaller than one, and the coverage lies above the promise. It holds for new
faces like those that it was fitted on, over all of them together; per class it is measured.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluation.metrics.classification import Floats, Integers, check


def mass_above(probabilities: Floats) -> NDArray[np.float64]:
    """For each class the probability of all classes that are more probable, (N, C): 0 for the most probable.

    Of two equal ones the first counts as the more probable.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities.astype(np.float64), order, 1)
    above = np.zeros_like(ranked)
    np.cumsum(ranked[:, :-1], axis=1, out=above[:, 1:])
    found = np.empty_like(above)
    np.put_along_axis(found, order, above, 1)
    return found


def conformal_threshold(probabilities: Floats, truth: Integers, coverage: float) -> float:
    """The largest `mass_above` with which a class enters the set, so that sets hold the truth this often.

    1 (every class enters) where there are too few faces to promise so much: fewer than coverage / (1 -
    coverage), 9 faces for 0.9.

    Raises:
        UsageError: a coverage outside 0..1, or arrays that do not fit.

    Source: Angelopoulos & Bates 2021, "A Gentle Introduction to Conformal Prediction", section 1.
    """
    check(probabilities, truth)
    if not 0 < coverage < 1:
        raise UsageError(f"coverage must lie between 0 and 1, such as 0.9, not {coverage}.")
    own = np.sort(mass_above(probabilities)[np.arange(len(truth)), truth])
    # The (n + 1)-th, unseen face must count too: hence ceil((n + 1) coverage) of n. Rounded first, since
    # 0.9 * 10 must not become 9.000000000000002 and then 10.
    wanted = math.ceil(round((len(own) + 1) * coverage, 9))
    return min(float(own[wanted - 1]), 1.0) if wanted <= len(own) else 1.0


def prediction_set(probabilities: Floats, threshold: float) -> NDArray[np.bool_]:
    """The classes in each face's set, (N, C): those at or below the threshold, the most probable always."""
    return mass_above(probabilities) <= threshold


def set_coverage(members: NDArray[np.bool_], truth: Integers) -> float:
    """Share of the faces whose set holds the true class."""
    return float(members[np.arange(len(truth)), truth].mean())


def coverage_by_class(members: NDArray[np.bool_], truth: Integers) -> tuple[float | None, ...]:
    """`set_coverage` of the faces of each class; None for a class without faces."""
    return tuple(
        set_coverage(members[truth == c], truth[truth == c]) if (truth == c).any() else None
        for c in range(members.shape[1])
    )
