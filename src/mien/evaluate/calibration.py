"""Temperature and conformal thresholds: fitted on one half of the faces, measured on the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluate.conformal import conformal_threshold, prediction_set, set_coverage
from mien.evaluate.metrics import Floats, Integers, check, negative_log_likelihood
from mien.evaluate.reliability import calibration_error, expected_calibration_noise
from mien.evaluate.votes import expected_voters_noise, voters_calibration_error

# The temperatures that are searched. Trained classifiers need about 0.5 to 5; an end of this range as the
# answer means that the probabilities carry no information, or are always right.
COLDEST, HOTTEST = 0.02, 50.0
COVERAGES = (0.8, 0.9, 0.95)

_GOLDEN = (math.sqrt(5) - 1) / 2
_TINY = float(np.finfo(np.float32).tiny)


def tempered(probabilities: Floats, temperature: float) -> NDArray[np.float64]:
    """The probabilities (N, C) as if their logits had been divided by the temperature.

    Above 1 they become more even, below 1 more certain; the likeliest class stays. A model whose
    probabilities already hold a temperature has the product of both afterwards.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """
    # log p differs from the logits by a constant a row, which the softmax takes out again.
    logits = np.log(np.maximum(probabilities.astype(np.float64), _TINY)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def fit_temperature(probabilities: Floats, truth: Floats | Integers) -> float:
    """The temperature with the least cross-entropy to the truth.

    `truth` is (N,) true classes, or (N, C) the voters' shares of each class.

    The cross-entropy is convex in 1 / temperature, so it falls and then rises along log(temperature) and a
    golden-section search finds its only minimum.

    Raises:
        UsageError: arrays that do not fit, or no faces.
    """
    if truth.ndim == 1:
        check(probabilities, truth.astype(np.int64))
        truth = np.eye(probabilities.shape[1])[truth.astype(np.int64)]
    if truth.shape != probabilities.shape or not len(truth):
        raise UsageError(f"truth must be (N,) or {probabilities.shape}, not {truth.shape}, with N > 0.")
    logits = np.log(np.maximum(probabilities.astype(np.float64), _TINY))
    logits -= logits.max(axis=1, keepdims=True)
    own = (truth * logits).sum(axis=1)
    weight = truth.sum(axis=1)

    def cross_entropy(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        partition = np.log(np.exp(logits * scale).sum(axis=1))
        return float((weight * partition - own * scale).mean())

    return math.exp(_golden_section(cross_entropy, math.log(COLDEST), math.log(HOTTEST)))


def halves(keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
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
        threshold: the smallest probability, after the temperature, with which a class enters the set.
        measured_coverage: share of unseen faces whose set held the true class.
        mean_size: mean number of classes in their sets.
    """

    coverage: float
    threshold: float
    measured_coverage: float
    mean_size: float


@dataclass(frozen=True)
class Calibration:
    """A temperature fitted on one half of the faces and what it did to the other half.

    Attributes:
        temperature: to divide the logits by, on top of what the probabilities already hold.
        ece_before: calibration error of the measured half without it.
        ece_after: with it.
        ece_noise: what chance alone makes of a perfect model on as many faces.
        nll_before: negative log-likelihood of the measured half without it.
        nll_after: with it.
        n_fitted: faces it was fitted on.
        n_measured: faces it was measured on.
        conformal: thresholds for each coverage, fitted and measured on the same halves.
    """

    temperature: float
    ece_before: float
    ece_after: float
    ece_noise: float
    nll_before: float
    nll_after: float
    n_fitted: int
    n_measured: int
    conformal: tuple[ConformalFit, ...]


def calibrate(
    probabilities: Floats,
    truth: Integers,
    fitted_on: NDArray[np.bool_],
    generator: np.random.Generator,
    *,
    voters: NDArray[np.float64] | None = None,
    coverages: tuple[float, ...] = COVERAGES,
) -> Calibration:
    """Temperature and thresholds fitted on the faces of the mask (N,) and measured on the others.

    With `voters`, (N, C) their shares of each class, the temperature is fitted to the shares and the
    calibration errors are those against them: a head that foretells a vote must not be sharpened until it
    foretells the majority. The conformal sets always hold `truth`.

    Raises:
        UsageError: one of the halves is empty, or the arrays do not fit.
    """
    check(probabilities[fitted_on], truth[fitted_on])
    check(probabilities[~fitted_on], truth[~fitted_on])
    seen, unseen = truth[fitted_on], truth[~fitted_on]
    temperature = fit_temperature(probabilities[fitted_on], seen if voters is None else voters[fitted_on])
    before, after = probabilities[~fitted_on], tempered(probabilities[~fitted_on], temperature)
    fits = []
    for coverage in coverages:
        threshold = conformal_threshold(tempered(probabilities[fitted_on], temperature), seen, coverage)
        members = prediction_set(after, threshold)
        size = float(members.sum(axis=1).mean())
        fits.append(ConformalFit(coverage, threshold, set_coverage(members, unseen), size))
    if voters is None:
        errors = calibration_error(before, unseen), calibration_error(after, unseen)
        noise = expected_calibration_noise(after, generator)
    else:
        shares = voters[~fitted_on]
        errors = voters_calibration_error(before, shares), voters_calibration_error(after, shares)
        noise = expected_voters_noise(after, generator)
    return Calibration(
        temperature=temperature,
        ece_before=errors[0],
        ece_after=errors[1],
        ece_noise=noise,
        nll_before=negative_log_likelihood(before, unseen),
        nll_after=negative_log_likelihood(after, unseen),
        n_fitted=len(seen),
        n_measured=len(unseen),
        conformal=tuple(fits),
    )


def _golden_section(
    function: Callable[[float], float], low: float, high: float, *, tolerance: float = 1e-6
) -> float:
    """Where a function that falls and then rises is smallest between `low` and `high`.

    Source: Kiefer 1953, "Sequential minimax search for a maximum".
    """
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return (low + high) / 2
