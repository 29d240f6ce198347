"""When a prediction should not be read as one emotion: a margin fitted on held-out faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics.classification import Floats, Integers, check

# Among the predictions that are certain, this share is to be right ...
_ACCURACY = 0.95
# ... unless more than this share would be uncertain: nobody reads a flag that every second face has.
_MOST_UNCERTAIN = 0.26
# A lead that is smaller is noise: even distributions are always uncertain.
_LEAST = 0.05


@dataclass(frozen=True)
class UncertaintyFit:
    """The margin below which predictions are uncertain, and what it did on faces that it had not seen.

    Attributes:
        margin: a prediction is uncertain if the most probable class leads the second by less, in probability.
        n: faces with a known class that it was measured on.
        uncertain: the share of them that is uncertain.
        accuracy: the share of right predictions among the certain ones; None if there are none.
        errors_caught: the share of the wrong predictions that is uncertain; None if there are none.
        uncertain_by_class: of the faces predicted as each class, the share that is uncertain; None for a
            class that was never predicted.
        uncertain_without_majority: the share of uncertain faces where the voters had no majority; None if
            there are no such faces.
    """

    margin: float
    n: int
    uncertain: float
    accuracy: float | None
    errors_caught: float | None
    uncertain_by_class: tuple[float | None, ...]
    uncertain_without_majority: float | None = None


def margins(probabilities: Floats, votes: Floats | None = None) -> NDArray[np.float64]:
    """By how much the most probable class leads every other, (N,), 0..1.

    With `votes`, (N, C), the smaller of this lead and of its lead there, -1..1.
    """
    top = probabilities.argmax(axis=1)
    lead = _leads(probabilities, top)
    return lead if votes is None else np.minimum(lead, _leads(votes, top))


def _leads(shares: Floats, top: NDArray[np.intp]) -> NDArray[np.float64]:
    """By how much the share of one column per row, `top` (N,), is above the largest other one."""
    others, rows = np.array(shares, np.float64), np.arange(len(shares))
    own = others[rows, top]
    others[rows, top] = -np.inf
    lead: NDArray[np.float64] = own - others.max(axis=1)
    return lead


def fit_margin(probabilities: Floats, truth: Integers, votes: Floats | None = None) -> float:
    """The smallest margin above which 95 % of the predictions are right; at most 26 % fall below it.

    It is at least 0.05, even if more faces fall below that.

    `votes`, (N, C), are the shares that `margins` takes.

    Raises:
        UsageError: arrays that do not fit, or no faces.

    Source: selective classification, Geifman & El-Yaniv 2017, arXiv:1705.08500; the margin as its confidence
    because a flat distribution and two emotions that are nearly as probable both have a small one.
    """
    check(probabilities, truth)
    lead = margins(probabilities, votes)
    order = np.argsort(lead, kind="stable")
    right = (probabilities.argmax(axis=1) == truth)[order]
    # The accuracy of what is left if the first k faces, those of the smallest margins, are uncertain.
    left = np.cumsum(right[::-1])[::-1] / np.arange(len(right), 0, -1)
    most = int(_MOST_UNCERTAIN * len(right))
    enough = np.flatnonzero(left[: most + 1] >= _ACCURACY)
    return max(_LEAST, float(lead[order][enough[0] if len(enough) else most]))


def measure_margin(
    margin: float,
    probabilities: Floats,
    truth: Integers,
    divided: NDArray[np.float64] | None = None,
    votes: Floats | None = None,
) -> UncertaintyFit:
    """What a margin does on N faces with known classes.

    `divided`, (M,), are the `margins` of faces without a majority; `votes`, (N, C), what `margins` takes.

    Raises:
        UsageError: arrays that do not fit, or no faces.
    """
    check(probabilities, truth)
    top = probabilities.argmax(axis=1)
    uncertain, wrong = margins(probabilities, votes) < margin, top != truth
    return UncertaintyFit(
        margin=margin,
        n=len(truth),
        uncertain=float(uncertain.mean()),
        accuracy=_share(~wrong[~uncertain]),
        errors_caught=_share(uncertain[wrong]),
        uncertain_by_class=tuple(_share(uncertain[top == c]) for c in range(probabilities.shape[1])),
        uncertain_without_majority=None if divided is None else _share(divided < margin),
    )


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if len(flags) else None
