"""Several seeds of each recipe: the differences agree with SciPy, and hold their level."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mien.evaluation.metrics.seeds import compare_seeds, mean_of_seeds, score_networks


def networks(
    generator: np.random.Generator, shifts: list[float], taste: float, n: int = 400
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Truth (N,), and predictions (K, N) of networks of two recipes, the first half of the `shifts` each.

    A network is right on a face where the face's ease, its recipe's taste in faces, the shift of its seed and
    chance add up to more than -0.5.
    """
    truth, hard = generator.integers(0, 4, n), generator.normal(size=n)
    tastes = generator.normal(0, taste, (2, n)).repeat(len(shifts) // 2, axis=0)
    right = hard + tastes + np.array(shifts)[:, None] + generator.normal(0, 0.7, tastes.shape) > -0.5
    return truth, np.where(right, truth, (truth + 1) % 4)


def test_without_a_chance_of_faces_it_is_students_t_of_the_seeds() -> None:
    """All networks err on whole blocks of a great many faces, so that only the seeds vary."""
    n, wrong = 40_000, [9000, 9600, 9300, 8000, 9100, 8500]
    truth = np.zeros(n, int)
    predicted = np.stack([(np.arange(n) < k).astype(int) for k in wrong])
    scores = score_networks(truth, predicted, 2, np.random.default_rng(0), resamples=100)
    assert scores.accuracy == pytest.approx(1 - np.array(wrong) / n)
    found = compare_seeds(scores, range(3), range(3, 6), n, same_seeds=True)
    oracle = stats.ttest_rel(scores.accuracy[3:], scores.accuracy[:3])
    assert found.accuracy.value == pytest.approx(np.mean(wrong[:3]) / n - np.mean(wrong[3:]) / n)
    assert found.p == pytest.approx(oracle.pvalue, rel=0.1)
    assert found.share_of_seeds > 0.95
    interval = oracle.confidence_interval(0.95)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(tuple(interval), abs=1e-3)
    pooled = compare_seeds(scores, range(3), range(3, 6), n, same_seeds=False)
    welch = stats.ttest_ind(scores.accuracy[3:], scores.accuracy[:3], equal_var=False)
    assert pooled.p == pytest.approx(welch.pvalue, rel=0.1)


def test_the_interval_of_a_mean_is_wider_than_that_of_the_seeds_alone() -> None:
    generator = np.random.default_rng(3)
    truth, predicted = networks(generator, [0.0] * 6, 0.5)
    scores = score_networks(truth, predicted, 4, generator, resamples=400)
    found = mean_of_seeds(scores.accuracy, scores.drawn_accuracy, scores.units)
    of_seeds = stats.t.interval(0.95, 5, loc=scores.accuracy.mean(), scale=stats.sem(scores.accuracy))
    assert found.value == pytest.approx((predicted == truth).mean())
    assert found.sd == pytest.approx(np.std(scores.accuracy, ddof=1))
    assert found.low < of_seeds[0] < of_seeds[1] < found.high


def test_resamples_draw_people_with_all_their_faces() -> None:
    """Two people; the network is right about one alone, so a resample has 0, half or all of it right."""
    truth, predicted = np.zeros(10, int), (np.arange(10) >= 5).astype(int)[None]
    people = np.repeat(["a", "b"], 5)
    scores = score_networks(truth, predicted, 2, np.random.default_rng(0), resamples=100, subjects=people)
    assert set(scores.drawn_accuracy.ravel().tolist()) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("same_seeds", [True, False])
def test_recipes_that_are_equal_are_seldom_called_different(same_seeds: bool) -> None:
    """Seeds that shift accuracy by two points: McNemar's test of one network each is wrong far more often."""
    generator = np.random.default_rng(5)
    wrong = 0
    for _ in range(100):
        truth, predicted = networks(generator, generator.normal(0, 0.09, 6).tolist(), 0.5, n=200)
        scores = score_networks(truth, predicted, 4, generator, resamples=50)
        wrong += compare_seeds(scores, range(3), range(3, 6), 200, same_seeds=same_seeds).p < 0.05
    assert wrong <= 9  # 5 expected of an exact test; this one is made to have fewer


def test_a_difference_that_is_there_is_found_and_one_network_can_be_compared_with_seeds() -> None:
    generator = np.random.default_rng(6)
    truth, predicted = networks(generator, [0.0, 0.05, 0.02, 0.6, 0.62, 0.58], 0.1)
    scores = score_networks(truth, predicted, 4, generator, resamples=100)
    found = compare_seeds(scores, range(3), range(3, 6), 400, same_seeds=True)
    assert found.p < 0.01
    assert found.accuracy.low > found.detectable / 100
    alone = compare_seeds(scores, range(3), [3], 400, same_seeds=False)
    assert alone.seeds == (3, 1)
    assert alone.evidence("a", "b").startswith("3 seeds of a and one b; ")
