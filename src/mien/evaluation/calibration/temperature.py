"""Temperature and conformal thresholds: fitted on one half of the faces, measured on the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluation.calibration.conformal import (
    conformal_threshold,
    coverage_by_class,
    prediction_set,
    set_coverage,
)
from mien.evaluation.calibration.uncertainty import (
    UncertaintyFit,
    fit_margin,
    margins,
    measure_margin,
)
from mien.evaluation.metrics.calibration import (
    bias_corrected_error,
    calibration_error,
    expected_calibration_noise,
)
from mien.evaluation.metrics.classification import Floats, Integers, check, negative_log_likelihood
from mien.evaluation.metrics.votes import expected_voters_noise, voters_calibration_error
from mien.probabilities import tempered

# The temperatures that are searched. Trained classifiers need about 0.5 to 5; an end of this range as the
# temperature means that the probabilities carry no information, or are always right.
COLDEST, HOTTEST = 0.02, 50.0
COVERAGES = (0.8, 0.9, 0.95)


def match_confidence(probabilities: Floats, truth: Floats | Integers) -> float:
    """The temperature at which mean confidence equals the share of correct predictions.

    `truth` is (N,) true classes, or (N, C) the voters' shares of each class; then mean confidence becomes the
    mean share of the voters who chose the class. Predictions stay, so what is correct does not
    depend on the temperature, and mean confidence falls as it rises: bisection finds the one solution.

    The temperature of the least cross-entropy is drawn to the few faces that are wrong with high confidence.
    FER2013 has many of those, for its labels are noisy, and a calibration error does not measure them.

    Raises:
        UsageError: arrays that do not fit, or no faces.

    Source: Clarté et al. 2023, "Expectation consistency for calibration of neural networks", equation 5.
    """
    right = _correctness(probabilities, truth)
    if not len(right):
        raise UsageError("there are no faces to fit a temperature to.")
    wanted = float(right.mean())
    low, high = math.log(COLDEST), math.log(HOTTEST)
    while high - low > 1e-6:
        middle = (low + high) / 2
        if tempered(probabilities, math.exp(middle)).max(axis=1).mean() > wanted:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def split_half(keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """A mask (N,) of about half of the faces, decided by their `FaceTable.pixel_keys` alone.

    The same face falls on the same side in every run, whatever its row, and identical faces fall together,
    so none is both fitted on and measured on. The keys are digests: their last hex digit is even for half.
    """
    last = keys.astype("S32").view("S1").reshape(len(keys), -1)[:, -1]
    return np.isin(last, np.array(list("02468ace"), "S1"))


@dataclass(frozen=True)
class ConformalFit:
    """One conformal threshold and what its sets did on faces that it had not seen.

    Attributes:
        coverage: the promise.
        threshold: the largest `mass_above`, after the temperature, with which a class enters the set.
        measured_coverage: share of unseen faces whose set contained the true class.
        mean_size: mean number of classes in their sets.
        coverage_by_class: the share for the faces of each class, in the order of the classes; None for a
            class without faces.
    """

    coverage: float
    threshold: float
    measured_coverage: float
    mean_size: float
    coverage_by_class: tuple[float | None, ...]


@dataclass(frozen=True)
class CrossValidated:
    """The calibration error over many random halves of the faces, whose spread one split cannot show.

    In each split the temperature of either half is used on the other, so that every face is measured by a
    temperature that it had no part in.

    Attributes:
        split_halves: how often the faces were split.
        n: faces, all of which are measured in each split.
        ece: mean over the splits of the error of all n faces.
        ece_std: its spread over the splits.
        ece_noise: what chance alone makes of a perfect model on n faces.
        ece_half: mean of the error of one half alone.
        ece_half_std: its spread over halves and splits.
        ece_half_noise: what chance alone makes of a perfect model on half of the faces.
        bias_corrected: mean of the root of the squared error freed of chance: `bias_corrected_error`.
        temperature_std: spread of the fitted temperatures.
    """

    split_halves: int
    n: int
    ece: float
    ece_std: float
    ece_noise: float
    ece_half: float
    ece_half_std: float
    ece_half_noise: float
    bias_corrected: float
    temperature_std: float


@dataclass(frozen=True)
class Calibration:
    """A temperature fitted on one half of the faces and what it did to the other half.

    Attributes:
        temperature: to divide the logits by, on top of what the probabilities already hold.
        ece_before: calibration error of the measured half without it.
        ece_after: with it.
        ece_noise: what chance alone makes of a perfect model on as many faces.
        nll_before: negative log-likelihood of the measured half, where the class is known, without it.
        nll_after: with it.
        n_fitted: faces it was fitted on.
        n_measured: faces it was measured on.
        n_sets: those of them whose class is known; the conformal sets were measured on these.
        conformal: thresholds for each coverage, fitted and measured on the same halves.
        uncertainty: the margin below which a prediction is uncertain, fitted and measured on the same halves.
    """

    temperature: float
    ece_before: float
    ece_after: float
    ece_noise: float
    nll_before: float
    nll_after: float
    n_fitted: int
    n_measured: int
    n_sets: int
    conformal: tuple[ConformalFit, ...]
    uncertainty: UncertaintyFit


def calibrate(
    probabilities: Floats,
    truth: Integers,
    fitted_on: NDArray[np.bool_],
    generator: np.random.Generator,
    *,
    voters: NDArray[np.float64] | None = None,
    votes: Floats | None = None,
    coverages: tuple[float, ...] = COVERAGES,
) -> Calibration:
    """Temperature and thresholds fitted on the faces of the mask (N,) and measured on the others.

    The temperature is that of `match_confidence`: it changes no prediction.

    With `voters`, (N, C) their shares of each class, it is fitted to the shares and the calibration errors
    are those against them: a head that predicts votes must not be sharpened until it predicts the
    majority. Then faces without a majority (`truth` -1) belong to it too: if only those counted on which the
    voters agreed, faces would be chosen by the outcome, and a perfect model would look too modest. The
    conformal sets always hold `truth`, so they leave those faces out.

    `votes`, (N, C), are the shares in which the margin of a combined head is measured (`margins`).

    Raises:
        UsageError: one half is empty, or the arrays do not fit.
    """
    known = np.ones(len(truth), bool) if voters is None else truth >= 0
    fitted, unseen = fitted_on & known, ~fitted_on & known
    check(probabilities[fitted], truth[fitted])
    check(probabilities[unseen], truth[unseen])
    target: Floats | Integers = truth if voters is None else voters
    temperature = match_confidence(probabilities[fitted_on], target[fitted_on])
    warm = tempered(probabilities, temperature)
    fits = []
    for coverage in coverages:
        threshold = conformal_threshold(warm[fitted], truth[fitted], coverage)
        members = prediction_set(warm[unseen], threshold)
        fits.append(
            ConformalFit(
                coverage,
                threshold,
                set_coverage(members, truth[unseen]),
                mean_size=float(members.sum(axis=1).mean()),
                coverage_by_class=coverage_by_class(members, truth[unseen]),
            )
        )
    of = partial(_rows, votes)
    margin = fit_margin(warm[fitted], truth[fitted], of(fitted))
    others = ~fitted_on & ~known
    divided = None if known.all() else margins(warm[others], of(others))
    return Calibration(
        temperature=temperature,
        ece_before=_error(probabilities[~fitted_on], target[~fitted_on]),
        ece_after=_error(warm[~fitted_on], target[~fitted_on]),
        ece_noise=_noise(warm[~fitted_on], target, generator),
        nll_before=negative_log_likelihood(probabilities[unseen], truth[unseen]),
        nll_after=negative_log_likelihood(warm[unseen], truth[unseen]),
        n_fitted=int(fitted_on.sum()),
        n_measured=int((~fitted_on).sum()),
        n_sets=int(unseen.sum()),
        conformal=tuple(fits),
        uncertainty=measure_margin(margin, warm[unseen], truth[unseen], divided, of(unseen)),
    )


def cross_validate_temperature(
    probabilities: Floats,
    truth: Floats | Integers,
    keys: NDArray[np.bytes_],
    generator: np.random.Generator,
    *,
    split_halves: int = 20,
) -> CrossValidated:
    """How well `match_confidence` calibrates, over random halves of N faces.

    Args:
        probabilities: (N, C).
        truth: (N,) true classes, or (N, C) the voters' shares.
        keys: (N,) the faces' `FaceTable.pixel_keys`; identical faces fall into the same half.

    Raises:
        UsageError: arrays that do not fit, or so few faces that a half is empty.
    """
    faces, groups = np.unique(keys, return_inverse=True)
    whole, half, bias_corrected, temperatures = [], [], [], []
    warm = np.empty(probabilities.shape)
    for _ in range(split_halves):
        first = (generator.permutation(len(faces)) % 2 == 0)[groups]
        for side in (first, ~first):
            temperatures.append(match_confidence(probabilities[side], truth[side]))
            warm[~side] = tempered(probabilities[~side], temperatures[-1])
            half.append(_error(warm[~side], truth[~side]))
        whole.append(_error(warm, truth))
        bias_corrected.append(bias_corrected_error(warm.max(axis=1), _correctness(warm, truth)))
    return CrossValidated(
        split_halves=split_halves,
        n=len(truth),
        ece=float(np.mean(whole)),
        ece_std=float(np.std(whole)),
        ece_noise=_noise(warm, truth, generator),
        ece_half=float(np.mean(half)),
        ece_half_std=float(np.std(half)),
        ece_half_noise=_noise(warm[first], truth, generator),
        bias_corrected=float(np.mean(bias_corrected)),
        temperature_std=float(np.std(temperatures)),
    )


def _rows(matrix: Floats | None, mask: NDArray[np.bool_]) -> Floats | None:
    return None if matrix is None else matrix[mask]


def _correctness(probabilities: Floats, truth: Floats | Integers) -> NDArray[np.float64]:
    """Of each face's most probable class, (N,): 1 if it is the true one, else 0; or its share of voters."""
    top = probabilities.argmax(axis=1)
    if truth.ndim == 1:
        check(probabilities, truth.astype(np.int64))
        return np.asarray(top == truth, np.float64)
    if truth.shape != probabilities.shape:
        raise UsageError(f"truth must be (N,) or {probabilities.shape}, not {truth.shape}.")
    shares: NDArray[np.float64] = truth[np.arange(len(truth)), top].astype(np.float64)
    return shares


def _error(probabilities: Floats, truth: Floats | Integers) -> float:
    if truth.ndim == 1:
        return calibration_error(probabilities, truth.astype(np.int64))
    return voters_calibration_error(probabilities, truth.astype(np.float64))


def _noise(probabilities: Floats, truth: Floats | Integers, generator: np.random.Generator) -> float:
    """What chance makes of a perfect model, by the kind of truth."""
    if truth.ndim == 1:
        return expected_calibration_noise(probabilities, generator)
    return expected_voters_noise(probabilities, generator)
