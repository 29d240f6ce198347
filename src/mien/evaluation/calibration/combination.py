"""The biases of a head that is computed from two others: every emotion has the same weight in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluation.metrics.classification import (
    Floats,
    Integers,
    accuracy,
    balanced_accuracy,
    check,
    confusion,
    macro_f1,
)
from mien.models.combination import Combination

# The share of the labels' head. Chosen on PublicTest and on posed faces: docs/log.md.
WEIGHT = 0.75
_FOLDS = 5
_ROUNDS = 500
_CONVERGED = 1e-6


@dataclass(frozen=True)
class CombinationFit:
    """What a combined head reaches on labelled faces that its biases were not fitted on.

    The faces are cut into five folds; the biases for each are fitted on the other four.

    Attributes:
        n: labelled faces.
        accuracy, balanced_accuracy, macro_f1: against the labels, among their classes.
        recall: of each class, in the order of the labels.
    """

    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    recall: dict[str, float]


def fit_combination(
    first: Floats, second: Floats, truth: Integers, classes: tuple[str, ...], names: tuple[str, str]
) -> Combination:
    """A combination whose biases give every class the same weight in the cross-entropy.

    Args:
        first, second: probabilities (N, C) of the two heads among `classes`, rows sum to 1.
        truth: (N,) labels; every class must occur.
        names: of the two heads.

    Raises:
        UsageError: arrays that do not fit, or a class without faces.

    Source: generalized iterative scaling, Darroch & Ratcliff 1972; it converges to the largest likelihood.
    """
    check(first, truth)
    counts = np.bincount(truth, minlength=len(classes))
    if not counts.all():
        missing = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise UsageError(f"biases need faces of every class; there are none of {missing}.")
    weights = 1 / (len(classes) * counts[truth])  # (N,), they sum to 1
    bias = np.zeros(len(classes))
    for _ in range(_ROUNDS):
        shares = _apply(names, classes, bias, first, second)
        step = -np.log(len(classes) * np.maximum(weights @ shares, 1e-12))
        bias += step
        if np.abs(step).max() < _CONVERGED:
            break
    bias -= bias.mean()
    return _combination(names, classes, bias)


def cross_validate_combination(
    first: Floats,
    second: Floats,
    truth: Integers,
    keys: NDArray[np.bytes_],
    classes: tuple[str, ...],
    names: tuple[str, str],
    generator: np.random.Generator,
) -> CombinationFit:
    """The scores of `fit_combination` over five folds; faces of the same key (N,) are in the same fold.

    Raises:
        UsageError: as `fit_combination`.
    """
    faces, groups = np.unique(keys, return_inverse=True)
    fold = (generator.permutation(len(faces)) % _FOLDS)[groups]
    shares = np.empty(first.shape)
    for k in range(_FOLDS):
        rest, own = fold != k, fold == k
        combination = fit_combination(first[rest], second[rest], truth[rest], classes, names)
        shares[own] = combination.apply(first[own], second[own], classes)
    counts = confusion(shares, truth)
    recall = counts.diagonal() / np.maximum(counts.sum(axis=1), 1)
    return CombinationFit(
        n=len(truth),
        accuracy=float(accuracy(counts)),
        balanced_accuracy=float(balanced_accuracy(counts)),
        macro_f1=float(macro_f1(counts)),
        recall={name: float(value) for name, value in zip(classes, recall, strict=True)},
    )


def _combination(names: tuple[str, str], classes: tuple[str, ...], bias: NDArray[np.float64]) -> Combination:
    biases = {name: round(float(value), 6) for name, value in zip(classes, bias, strict=True)}
    return Combination(*names, weight=WEIGHT, bias=biases)


def _apply(
    names: tuple[str, str], classes: tuple[str, ...], bias: NDArray[np.float64], first: Floats, second: Floats
) -> NDArray[np.float32]:
    return _combination(names, classes, bias).apply(first, second, classes)
