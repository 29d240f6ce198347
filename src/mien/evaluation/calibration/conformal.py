"""Sets of classes that hold the truth as often as promised: split conformal prediction.

The score is the least ambiguous one (LAC): one threshold on the probability, above which a class is in the
set. Of all sets with the same coverage these are the smallest on average (Sadinle, Lei & Wasserman 2019,
"Least Ambiguous Set-Valued Classifiers with Bounded Error Levels"), and one number a coverage is all that a
card must carry. The price, against adaptive sets (APS): coverage holds over all faces together, not within
each class, so rare classes are covered less. It holds for new faces like those it was fitted on.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluation.metrics.classification import Floats, Integers, check


def conformal_threshold(probabilities: Floats, truth: Integers, coverage: float) -> float:
    """The smallest probability with which a class enters the set, so that sets hold the truth this often.

    0 (every class enters) where there are too few faces to promise so much: fewer than coverage / (1 -
    coverage), 9 faces for 0.9.

    Raises:
        UsageError: a coverage outside 0..1, or arrays that do not fit.

    Source: Angelopoulos & Bates 2021, "A Gentle Introduction to Conformal Prediction", section 1, with
    1 - score in place of the score.
    """
    check(probabilities, truth)
    if not 0 < coverage < 1:
        raise UsageError(f"coverage must lie between 0 and 1, such as 0.9, not {coverage}.")
    own = np.sort(probabilities[np.arange(len(truth)), truth])
    # The (n + 1)-th, unseen face must count too: hence ceil((n + 1) coverage) of n. Rounded first, since
    # 0.9 * 10 must not become 9.000000000000002 and then 10.
    wanted = math.ceil(round((len(own) + 1) * coverage, 9))
    return float(own[len(own) - wanted]) if wanted <= len(own) else 0.0


def prediction_set(probabilities: Floats, threshold: float) -> NDArray[np.bool_]:
    """The classes in each face's set, (N, C): those at or above the threshold, and always the most probable.

    Adding the most probable where none reaches the threshold keeps every set non-empty and can only raise the
    coverage.
    """
    members = probabilities >= threshold
    members[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return members


def set_coverage(members: NDArray[np.bool_], truth: Integers) -> float:
    """Share of the faces whose set holds the true class."""
    return float(members[np.arange(len(truth)), truth].mean())
