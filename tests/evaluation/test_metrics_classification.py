"""The scores against scikit-learn, torchmetrics and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from mien.errors import UsageError
from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.calibration import (
    adaptive_reliability,
    calibration_error,
    coverage_curve,
    expected_calibration_noise,
    reliability,
)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def scored(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of 600 faces over 7 classes, right about two times in three, one class rare."""
    truth = generator.choice(7, size=600, p=[0.2, 0.01, 0.14, 0.25, 0.15, 0.1, 0.15])
    logits = generator.normal(size=(600, 7))
    logits[np.arange(600), truth] += 2
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), truth


def test_confusion_counts_as_scikit_learn(scored):
    probabilities, truth = scored
    expected = sk.confusion_matrix(truth, probabilities.argmax(axis=1), labels=range(7))
    np.testing.assert_array_equal(metrics.confusion(probabilities, truth), expected)


def test_class_scores_are_scikit_learns(scored):
    probabilities, truth = scored
    counts = metrics.confusion(probabilities, truth)
    expected = sk.precision_recall_fscore_support(
        truth, probabilities.argmax(axis=1), labels=range(7), zero_division=0
    )
    for function, values in zip(
        (metrics.precision, metrics.recall, metrics.f1, metrics.support), expected, strict=True
    ):
        np.testing.assert_allclose(function(counts), values)


def test_overall_scores_are_scikit_learns(scored):
    probabilities, truth = scored
    answers = probabilities.argmax(axis=1)
    counts = metrics.confusion(probabilities, truth)
    assert metrics.accuracy(counts) == pytest.approx(sk.accuracy_score(truth, answers))
    assert metrics.balanced_accuracy(counts) == pytest.approx(sk.balanced_accuracy_score(truth, answers))
    assert metrics.macro_f1(counts) == pytest.approx(sk.f1_score(truth, answers, average="macro"))
    assert metrics.macro(metrics.precision(counts), counts) == pytest.approx(
        sk.precision_score(truth, answers, average="macro", zero_division=0)
    )


def test_classes_without_faces_are_left_out_of_macro_averages(scored):
    probabilities, truth = scored
    keep = truth != 1
    counts = metrics.confusion(probabilities[keep], truth[keep])
    answers = probabilities[keep].argmax(axis=1)
    expected = sk.f1_score(truth[keep], answers, labels=[0, 2, 3, 4, 5, 6], average="macro")
    assert metrics.macro_f1(counts) == pytest.approx(expected)


def test_a_class_never_present_nor_answered_scores_zero_without_a_warning():
    counts = np.array([[3, 1, 0], [1, 2, 0], [0, 0, 0]])
    assert metrics.f1(counts)[2] == metrics.precision(counts)[2] == metrics.recall(counts)[2] == 0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_is_scikit_learns(scored, k):
    probabilities, truth = scored
    expected = sk.top_k_accuracy_score(truth, probabilities, k=k, labels=range(7))
    assert metrics.top_k_accuracy(probabilities, truth, k) == pytest.approx(expected)


def test_top_one_agrees_with_the_confusion_matrix_on_ties():
    even = np.full((7, 7), 1 / 7, np.float32)
    truth = np.arange(7)
    assert metrics.top_k_accuracy(even, truth, 1) == metrics.accuracy(metrics.confusion(even, truth))
    assert metrics.top_k_accuracy(even, truth, 2) == pytest.approx(2 / 7)


def test_log_likelihood_and_brier_are_scikit_learns(scored):
    probabilities, truth = scored
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert metrics.negative_log_likelihood(exact, truth) == pytest.approx(
        sk.log_loss(truth, exact, labels=range(7))
    )
    assert metrics.brier(exact, truth) == pytest.approx(
        sk.brier_score_loss(truth, exact, labels=range(7), scale_by_half=False)
    )


def test_a_certain_mistake_costs_a_finite_likelihood():
    wrong = np.array([[1, 0]], np.float32)
    truth = np.array([1])
    assert metrics.negative_log_likelihood(wrong, truth) == pytest.approx(
        sk.log_loss(truth, wrong, labels=[0, 1]), rel=1e-6
    )


def test_calibration_error_is_torchmetrics(scored):
    # Imported here: they take longer than all other tests of this room together.
    import torch
    from torchmetrics.classification import MulticlassCalibrationError

    probabilities, truth = scored
    expected = MulticlassCalibrationError(num_classes=7, n_bins=15, norm="l1")(
        torch.tensor(probabilities), torch.tensor(truth)
    )
    assert calibration_error(probabilities, truth) == pytest.approx(float(expected), abs=1e-6)


def test_bins_hold_the_faces_of_their_confidence():
    probabilities = np.array([[1.0, 0.0], [0.6, 0.4], [0.55, 0.45], [0.5, 0.5]])
    bins = reliability(probabilities, np.array([0, 1, 0, 0]), bins=5)
    np.testing.assert_array_equal(bins.count, [0, 0, 3, 0, 1])
    np.testing.assert_allclose(bins.confidence, [0, 0, 0.55, 0, 1])
    np.testing.assert_allclose(bins.accuracy, [0, 0, 2 / 3, 0, 1])


def test_adaptive_bins_hold_equally_many_faces(scored):
    probabilities, truth = scored
    bins = adaptive_reliability(probabilities, truth)
    assert set(bins.count) == {40}
    assert (np.diff(bins.confidence) >= 0).all()
    order = np.argsort(probabilities.max(axis=1), kind="stable")
    groups = np.array_split(order, 15)
    right = probabilities.argmax(axis=1) == truth
    expected = np.mean(
        [abs(probabilities.max(axis=1)[g].mean(dtype=float) - right[g].mean()) for g in groups]
    )
    assert bins.error == pytest.approx(expected)


def test_calibration_noise_is_the_error_of_perfect_models(generator):
    """Probabilities whose truth is drawn from themselves are calibrated; what error remains is the noise."""
    probabilities = generator.dirichlet(np.ones(7), size=1500)
    noise = expected_calibration_noise(probabilities, generator)
    measured = []
    for _ in range(100):
        truth = (generator.random((1500, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 6)
        measured.append(calibration_error(probabilities, truth))
    assert noise == pytest.approx(np.mean(measured), rel=0.1)


def test_coverage_curve_answers_the_most_confident_first():
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7], [0.2, 0.8]])
    curve = coverage_curve(probabilities, np.array([1, 0, 1, 0]))
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.confidence, [0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(curve.accuracy, [1, 0.5, 2 / 3, 0.5])
    assert (curve.accuracy_at(0.25), curve.accuracy_at(1.0)) == (1.0, 0.5)


def test_bootstrap_interval_is_that_of_scipy(scored, generator):
    """SciPy resamples the faces themselves; the multinomial draw must give the same interval."""
    probabilities, truth = scored
    right = (probabilities.argmax(axis=1) == truth).astype(float)
    expected = stats.bootstrap(
        (right,), np.mean, n_resamples=5000, method="percentile", rng=generator
    ).confidence_interval
    counts = metrics.confusion(probabilities, truth)
    found = metrics.bootstrap_interval(counts, metrics.accuracy, generator, resamples=5000)
    np.testing.assert_allclose(found, expected, atol=0.004)


def test_bootstrap_of_macro_f1_is_that_of_resampled_faces(scored, generator):
    probabilities, truth = scored
    answers = probabilities.argmax(axis=1)
    resampled = []
    for _ in range(400):
        index = generator.integers(0, len(truth), len(truth))
        present = np.unique(truth[index])
        resampled.append(
            sk.f1_score(truth[index], answers[index], labels=present, average="macro", zero_division=0)
        )
    counts = metrics.confusion(probabilities, truth)
    found = metrics.bootstrap_interval(counts, metrics.macro_f1, generator, resamples=4000)
    np.testing.assert_allclose(found, np.quantile(resampled, (0.025, 0.975)), atol=0.015)


def test_bootstrap_repeats_with_its_seed(scored):
    counts = metrics.confusion(*scored)
    first, second = (
        metrics.bootstrap_interval(counts, metrics.accuracy, np.random.default_rng(3)) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("probabilities", "truth", "message"),
    [
        (np.ones((2, 3)), np.array([0]), r"\(2, 3\) and \(1,\)"),
        (np.ones((0, 3)), np.array([], int), "no faces"),
        (np.ones((2, 3)), np.array([0, 3]), r"0\.\.2, not 0\.\.3"),
        (np.ones((2, 3)), np.array([-1, 0]), "without a label"),
    ],
)
def test_what_cannot_be_scored_is_refused(probabilities, truth, message):
    with pytest.raises(UsageError, match=message):
        metrics.confusion(probabilities, truth)


def test_bootstrap_by_subject_is_that_of_resampled_people(generator):
    """Each person's frames are all right or all wrong, so the interval over faces is far too narrow."""
    people = np.repeat(np.arange(20), 10).astype(str)
    right = np.repeat(generator.random(20) < 0.6, 10)
    truth = np.zeros(200, int)
    probabilities = np.stack([right, ~right], axis=1).astype(np.float32)
    counts = metrics.confusion(probabilities, truth)
    by_subject = metrics.confusion_by_subject(probabilities, truth, people)
    assert (by_subject.sum(axis=0) == counts).all()
    assert by_subject.shape == (20, 2, 2)
    interval = metrics.bootstrap_interval(
        counts, metrics.accuracy, generator, resamples=4000, by_subject=by_subject
    )
    drawn = generator.integers(0, 20, (4000, 20))
    expected = np.quantile(right.reshape(20, 10).mean(axis=1)[drawn].mean(axis=1), (0.025, 0.975))
    assert interval == pytest.approx(expected, abs=0.02)
    faces = metrics.bootstrap_interval(counts, metrics.accuracy, generator)
    assert interval[1] - interval[0] > 2 * (faces[1] - faces[0])
