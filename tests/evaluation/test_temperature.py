"""Temperature and conformal sets against SciPy, known temperatures and their own promise."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from scipy import optimize, special

from mien.data.table import FaceTable
from mien.errors import UsageError
from mien.evaluation.calibration.conformal import (
    conformal_threshold,
    coverage_by_class,
    mass_above,
    prediction_set,
    set_coverage,
)
from mien.evaluation.calibration.temperature import (
    COLDEST,
    calibrate,
    cross_validate_temperature,
    match_confidence,
    split_half,
)
from mien.evaluation.metrics.calibration import bias_corrected_error
from mien.evaluation.metrics.classification import negative_log_likelihood
from mien.probabilities import tempered
from mien.testing.fakes import numbered_faces


def draw(n: int, generator: np.random.Generator, *, overconfident: float = 1.0):
    """Truths drawn from probabilities, and these sharpened: `overconfident` is the temperature to find."""
    logits = generator.normal(scale=1.5, size=(n, 8))
    shares = special.softmax(logits, axis=1)
    truth = (generator.random((n, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 7)
    return special.softmax(logits * overconfident, axis=1).astype(np.float32), truth


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("overconfident", [0.5, 1.0, 3.0])
def test_fitted_temperature_undoes_a_known_one(generator, overconfident):
    probabilities, truth = draw(20_000, generator, overconfident=overconfident)
    assert match_confidence(probabilities, truth) == pytest.approx(overconfident, rel=0.05)


def test_one_hot_shares_are_fitted_as_classes(generator):
    probabilities, truth = draw(300, generator, overconfident=2.0)
    assert match_confidence(probabilities, np.eye(8)[truth]) == pytest.approx(
        match_confidence(probabilities, truth)
    )


def test_temperature_fits_the_voters_shares(generator):
    """Where the shares are the probabilities themselves, sharpened by 2, the temperature is 2."""
    shares = generator.dirichlet(np.ones(8), size=200)
    sharpened = shares**2 / (shares**2).sum(axis=1, keepdims=True)
    assert match_confidence(sharpened, shares) == pytest.approx(2.0, rel=1e-3)


def test_tempering_divides_the_logits(generator):
    logits = generator.normal(size=(50, 7))
    expected = special.softmax(logits / 1.7, axis=1)
    np.testing.assert_allclose(tempered(special.softmax(logits, axis=1), 1.7), expected, rtol=1e-9)


def test_tempering_keeps_certain_answers_finite():
    certain = np.array([[1, 0, 0]], np.float32)
    assert np.isfinite(tempered(certain, 3.0)).all()
    assert math.isfinite(match_confidence(certain, np.array([0])))


def table_of(numbers: list[int]) -> FaceTable:
    n = len(numbers)
    return FaceTable(
        numbered_faces(numbers), np.zeros(n, np.int64), np.full(n, "PublicTest"), np.arange(n, dtype=np.int64)
    )


def test_halves_are_even_and_depend_on_the_pixels_alone():
    keys = table_of(list(range(2000))).pixel_keys
    mask = split_half(keys)
    assert 900 < mask.sum() < 1100
    order = np.random.default_rng(0).permutation(2000)
    np.testing.assert_array_equal(split_half(keys[order]), mask[order])
    last = [
        int(hashlib.blake2b(face.tobytes(), digest_size=16).hexdigest()[-1], 16)
        for face in numbered_faces([5, 6])
    ]
    np.testing.assert_array_equal(mask[5:7], [digit % 2 == 0 for digit in last])


def test_identical_faces_fall_into_the_same_half():
    mask = split_half(table_of([*range(50), *range(50)]).pixel_keys)
    np.testing.assert_array_equal(mask[:50], mask[50:])


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [19, 20, 99, 1000])
def test_threshold_is_the_papers_quantile(generator, coverage, n):
    """Angelopoulos & Bates, section 1: the ceil((n + 1)(1 - alpha)) / n empirical quantile of the scores.

    Their code asks NumPy for the method "higher", which is one score more careful than their text.
    """
    probabilities, truth = draw(n, generator)
    scores = [
        sum(float(p) for p in row if p > row[own]) for row, own in zip(probabilities, truth, strict=True)
    ]
    level = math.ceil(round((n + 1) * coverage, 9)) / n
    expected = np.quantile(scores, level, method="inverted_cdf") if level <= 1 else 1.0
    assert conformal_threshold(probabilities, truth, coverage) == pytest.approx(expected, abs=1e-6)


def test_few_faces_cannot_promise_much(generator):
    assert conformal_threshold(*draw(8, generator), 0.9) == 1
    assert conformal_threshold(*draw(9, generator), 0.9) < 1


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_of_unseen_faces_as_often_as_promised(generator, coverage):
    """Mean coverage over 40 draws: at least the promise, and above it by no more than chance and the top."""
    measured, promised_too_much = [], []
    for _ in range(40):
        probabilities, truth = draw(2000, generator, overconfident=1.5)
        threshold = conformal_threshold(probabilities[:1000], truth[:1000], coverage)
        members = prediction_set(probabilities[1000:], threshold)
        measured.append(set_coverage(members, truth[1000:]))
        promised_too_much.append(members.sum(axis=1).mean())
    assert coverage - 0.01 < np.mean(measured) < coverage + 0.02
    assert np.mean(promised_too_much) < 8


def test_every_set_contains_the_most_probable_class():
    probabilities = np.array([[0.4, 0.35, 0.25], [0.04, 0.06, 0.9]])
    for threshold, flat in (
        (0.0, [True, False, False]),
        (0.5, [True, True, False]),
        (0.8, [True, True, True]),
    ):
        np.testing.assert_array_equal(prediction_set(probabilities, threshold), [flat, [False, False, True]])


def test_flatter_answers_give_larger_sets():
    rows = [np.full(8, 1 / 8)]
    for sharpness in (2, 4, 16, 256):
        row = np.exp(-np.arange(8) * np.log(sharpness) / 7)
        rows.append(row / row.sum())
    sizes = prediction_set(np.array(rows), 0.7).sum(axis=1)
    assert sizes[0] == 6  # 0.625 above the sixth, 0.75 above the seventh
    assert list(sizes) == sorted(sizes, reverse=True)
    assert sizes[-1] < 3


def test_of_equal_probabilities_the_first_enters_first():
    np.testing.assert_allclose(mass_above(np.array([[0.25, 0.5, 0.25]])), [[0.5, 0, 0.75]])


def test_coverage_by_class_says_where_the_promise_is_not_kept():
    members = np.array([[True, False, False], [True, True, False], [True, False, False]])
    assert coverage_by_class(members, np.array([0, 1, 1])) == (1.0, 0.5, None)


def test_coverage_outside_zero_to_one_is_refused(generator):
    with pytest.raises(UsageError, match=r"between 0 and 1.*not 90"):
        conformal_threshold(*draw(50, generator), 90)


def test_calibration_is_measured_on_the_faces_it_was_not_fitted_on(generator):
    probabilities, truth = draw(6000, generator, overconfident=2.5)
    mask = np.arange(6000) % 2 == 0
    # What the model says of the measured half must not move what is fitted.
    spoiled = probabilities.copy()
    spoiled[~mask] = spoiled[~mask][:, ::-1]
    found, other = (calibrate(p, truth, mask, np.random.default_rng(0)) for p in (probabilities, spoiled))
    assert found.temperature == other.temperature
    assert found.nll_after < found.nll_before
    assert found.ece_after < 0.03 < found.ece_before
    assert found.ece_after < 2 * found.ece_noise
    assert (found.n_fitted, found.n_measured) == (3000, 3000)
    after = tempered(probabilities[~mask], found.temperature)
    assert found.nll_after == pytest.approx(negative_log_likelihood(after, truth[~mask]))
    for fit in found.conformal:
        assert fit.measured_coverage == pytest.approx(fit.coverage, abs=0.03)
        assert 1 <= fit.mean_size < 8
    sizes = [fit.mean_size for fit in found.conformal]
    assert sizes == sorted(sizes)


def test_an_empty_half_is_refused(generator):
    probabilities, truth = draw(20, generator)
    with pytest.raises(UsageError, match="no faces"):
        calibrate(probabilities, truth, np.ones(20, bool), generator)


def test_a_head_of_votes_is_fitted_to_the_shares_and_not_sharpened_to_the_majority(generator):
    """Probabilities that people vote by need no temperature, though the majority is nearly always the top."""
    probabilities = generator.dirichlet(np.full(8, 0.4), 4000)
    votes = np.stack([generator.multinomial(10, row) for row in probabilities])
    truth, half = votes.argmax(axis=1), np.arange(4000) % 2 == 0
    to_majority = calibrate(probabilities, truth, half, generator)
    to_voters = calibrate(probabilities, truth, half, generator, voters=votes / 10)
    assert to_majority.temperature < 0.8
    assert to_voters.temperature == pytest.approx(1, abs=0.03)
    assert to_voters.ece_after < 2 * to_voters.ece_noise
    assert to_majority.conformal[1].measured_coverage == pytest.approx(0.9, abs=0.03)
    assert to_voters.conformal[1].measured_coverage == pytest.approx(0.9, abs=0.03)


def test_matched_confidence_is_as_sure_as_it_is_right(generator):
    """The root is found by SciPy too, and the answers stay."""
    probabilities, truth = draw(3000, generator, overconfident=2.0)
    logits = np.log(probabilities.astype(float))
    right = (logits.argmax(axis=1) == truth).mean()
    root = optimize.brentq(lambda t: special.softmax(logits / t, axis=1).max(axis=1).mean() - right, 0.1, 20)
    found = match_confidence(probabilities, truth)
    assert found == pytest.approx(root, rel=1e-4)
    np.testing.assert_array_equal(tempered(probabilities, found).argmax(axis=1), probabilities.argmax(axis=1))


def test_matched_confidence_undoes_a_known_temperature_of_votes(generator):
    shares = generator.dirichlet(np.ones(8), size=2000)
    votes = np.stack([generator.multinomial(10, row) for row in shares]) / 10
    sharpened = shares**2 / (shares**2).sum(axis=1, keepdims=True)
    assert match_confidence(sharpened, votes) == pytest.approx(2.0, rel=0.05)


def test_answers_that_are_always_right_end_at_the_coldest_temperature():
    right = np.full((5, 3), 0.2)
    right[:, 1] = 0.6
    assert match_confidence(right, np.ones(5, np.int64)) == pytest.approx(COLDEST, rel=0.5)


def test_faces_without_a_majority_count_for_the_votes_and_not_for_the_sets(generator):
    probabilities = generator.dirichlet(np.full(8, 0.4), 1000)
    votes = np.stack([generator.multinomial(10, row) for row in probabilities]) / 10
    truth, half = votes.argmax(axis=1), np.arange(1000) % 2 == 0
    truth[votes.max(axis=1) <= 0.5] = -1
    found = calibrate(probabilities, truth, half, generator, voters=votes)
    assert (found.n_fitted, found.n_measured) == (500, 500)
    assert found.n_sets == ((truth >= 0) & ~half).sum() < 500
    assert found.temperature == match_confidence(probabilities[half], votes[half])
    # The faces on which the voters agreed are not all faces: to those alone a perfect model looks too modest.
    agreed = truth >= 0
    assert match_confidence(probabilities[agreed], votes[agreed]) < 0.95 < found.temperature


def test_crossed_halves_of_a_perfect_model_show_chance_alone(generator):
    probabilities, truth = draw(4000, generator)
    found = cross_validate_temperature(
        probabilities, truth, table_of(list(range(4000))).pixel_keys, generator, split_halves=8
    )
    assert found.n == 4000
    assert found.ece == pytest.approx(found.ece_noise, abs=0.008)
    assert found.ece < found.ece_half
    assert found.bias_corrected < 0.015
    assert 0 < found.temperature_std < 0.1


def test_crossed_halves_show_what_no_temperature_can_mend(generator):
    """Half of the faces too sure, half too modest: on average right, and wrong everywhere."""
    probabilities, truth = draw(4000, generator)
    bent = np.concatenate([tempered(probabilities[:2000], 0.4), tempered(probabilities[2000:], 2.5)])
    found = cross_validate_temperature(
        bent, truth, table_of(list(range(4000))).pixel_keys, generator, split_halves=4
    )
    assert found.ece > 2 * found.ece_noise
    assert found.bias_corrected > 0.05


def test_identical_faces_are_never_on_both_sides_of_a_crossing(generator):
    """Each face stands there four times, its answer right three times: every half of whole faces gives the
    same temperature, which a half that parts them would not."""
    probabilities, truth = np.tile([0.9, 0.1], (400, 1)), np.repeat([0, 0, 0, 1], 100)
    keys = table_of([*range(100)] * 4).pixel_keys
    found = cross_validate_temperature(probabilities, truth, keys, generator, split_halves=5)
    assert found.temperature_std == pytest.approx(0, abs=1e-3)
    assert found.ece == pytest.approx(0, abs=1e-3)


def test_the_debiased_error_is_unbiased_where_the_plain_one_is_not(generator):
    """The mean square over many draws of few faces, of a model that is 0.2 too sure and of a perfect one."""
    confidence = np.full(30, 0.7)
    squares = [
        bias_corrected_error(confidence, (generator.random(30) < 0.5).astype(float)) ** 2 for _ in range(4000)
    ]
    assert np.mean(squares) == pytest.approx(0.2**2, abs=0.004)
    perfect = [
        bias_corrected_error(confidence, (generator.random(30) < 0.7).astype(float)) for _ in range(1000)
    ]
    assert np.mean(np.array(perfect) == 0) > 0.4
