"""Two classifiers on the same faces: the tests agree with SciPy and with drawing the faces themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, permutation_test
from sklearn.metrics import accuracy_score, f1_score

from mien.errors import UsageError
from mien.evaluation.metrics.significance import (
    Difference,
    McNemar,
    Paired,
    compare_paired,
    holm,
    mcnemar,
    verdict,
)


def rights(only_first: int, only_second: int, both: int = 7) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first = np.array([True] * only_first + [False] * only_second + [True] * both)
    second = np.array([False] * only_first + [True] * only_second + [True] * both)
    return first, second


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 1), (10, 10), (5, 40), (151, 200), (1900, 1700)])
def test_mcnemar_is_the_binomial_test_of_the_faces_that_one_alone_got_right(b: int, c: int) -> None:
    found = mcnemar(*rights(b, c))
    assert (found.only_first, found.only_second) == (b, c)
    exact = binomtest(b, b + c).pvalue if b + c else 1.0
    assert found.exact == pytest.approx(exact, rel=1e-9)
    assert found.mid_p == pytest.approx(min(1, exact - binom.pmf(min(b, c), b + c, 0.5)), abs=1e-9) or b == c


def test_mid_p_holds_its_level_where_the_exact_test_is_too_cautious() -> None:
    """Of pairs that are equally good, mid-p calls about one in twenty different; the exact test far fewer."""
    generator = np.random.default_rng(0)
    tosses = [(n, generator.binomial(n, 0.5)) for n in generator.integers(10, 60, 4000)]
    found = [mcnemar(*rights(heads, n - heads)) for n, heads in tosses]
    mid, exact = (np.mean([getattr(each, name) < 0.05 for each in found]) for name in ("mid_p", "exact"))
    assert exact < 0.04 < mid < 0.055


@pytest.fixture(scope="module")
def answers() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Truth, and two answers that are right on about 60 % and 66 % of 600 faces, often the same ones."""
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 5, 600)
    hard = generator.random(600)
    first = np.where(hard + 0.3 * generator.random(600) < 0.72, truth, generator.integers(0, 5, 600))
    second = np.where(hard + 0.3 * generator.random(600) < 0.80, truth, generator.integers(0, 5, 600))
    return truth, first, second


def test_differences_are_those_of_scikit_learn(
    answers: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    truth, first, second = answers
    found = compare_paired(truth, first, second, 5, np.random.default_rng(0), resamples=10)
    assert found.accuracy.value == pytest.approx(accuracy_score(truth, second) - accuracy_score(truth, first))
    f1 = [f1_score(truth, answer, average="macro") for answer in (first, second)]
    assert found.macro_f1.value == pytest.approx(f1[1] - f1[0])
    assert found.agree == np.mean(first == second)


def test_the_interval_is_that_of_drawing_the_faces_themselves(
    answers: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    truth, first, second = answers
    found = compare_paired(truth, first, second, 5, np.random.default_rng(0), resamples=20000)
    gain = (second == truth).astype(float) - (first == truth)
    drawn = np.random.default_rng(1).choice(gain, (20000, 600)).mean(axis=1)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(
        np.quantile(drawn, (0.025, 0.975)), abs=2e-3
    )


def test_what_both_find_hard_cancels_out(
    answers: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """The paired interval is narrower than the one of two samples of faces that have nothing in common."""
    truth, first, second = answers
    found = compare_paired(truth, first, second, 5, np.random.default_rng(0))
    p, q = (first == truth).mean(), (second == truth).mean()
    apart = 2 * 1.96 * np.sqrt((p * (1 - p) + q * (1 - q)) / len(truth))
    assert found.accuracy.high - found.accuracy.low < 0.8 * apart


def test_answers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="N > 0"):
        compare_paired(np.zeros(3, int), np.zeros(3, int), np.zeros(2, int), 2, np.random.default_rng(0))


def test_holm_is_the_textbook_example() -> None:
    """Four hypotheses: 0.005 x 4, then 0.01 x 3, then 0.03 x 2, and the last no less than the third."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def paired(value: float, low: float, high: float, b: int, c: int) -> Paired:
    nothing = Difference(0, 0, 0)
    return Paired(1000, Difference(value, low, high), nothing, McNemar(b, c, 0.5, 0.5), 0.9, 0.012)


def test_the_verdict_names_the_better_one_whichever_comes_first() -> None:
    assert verdict(paired(0.021, 0.009, 0.033, 5, 26), "a", "b", 0.0004).startswith(
        "The difference is real: b is ahead of a by 2.1 points "
        "(95 % interval +0.9 to +3.3, p = 0.0004, n = 1,000)"
    )
    assert "a is ahead of b by 2.1 points (95 % interval +0.9 to +3.3" in verdict(
        paired(-0.021, -0.033, -0.009, 26, 5), "a", "b", 0.0004
    )


def test_the_verdict_says_what_could_not_have_been_seen() -> None:
    said = verdict(paired(0.004, -0.008, 0.016, 10, 14), "a", "b", 0.42)
    assert said.startswith("No real difference can be shown: b is ahead of a by 0.4 points, which chance")
    assert "below about 1.2 points" in said
    assert verdict(paired(0, -0.01, 0.01, 4, 4), "a", "b", 1.0).startswith("No difference: a and b are right")


def test_a_difference_of_the_detectable_size_is_found_half_of_the_time() -> None:
    """Simulated: pairs whose true difference is `detectable` have p below 0.05 in about half of the cases."""
    generator = np.random.default_rng(4)
    n, differ = 2000, 300
    detectable = 1.96 * np.sqrt(differ) / n
    share = 0.5 + detectable * n / differ / 2
    found = generator.binomial(differ, share, 2000)
    power = np.mean([mcnemar(*rights(differ - int(c), int(c))).mid_p < 0.05 for c in found])
    assert power == pytest.approx(0.5, abs=0.06)


def test_mcnemar_over_people_with_one_face_each_is_mcnemar() -> None:
    for b, c in ((0, 0), (3, 1), (10, 10), (5, 40)):
        first, second = rights(b, c)
        alone, people = mcnemar(first, second), mcnemar(first, second, np.arange(len(first)).astype(str))
        assert (people.exact, people.mid_p) == pytest.approx((alone.exact, alone.mid_p), rel=1e-9)
        assert people.people == b + c


def test_mcnemar_over_people_is_scipys_test_of_flipped_signs() -> None:
    """Five people; SciPy goes through all 32 signs of their gains."""
    gains = np.array([4, 3, -1, 2, 5])
    subjects = np.repeat(list("abcde"), np.abs(gains))
    second = np.repeat(gains > 0, np.abs(gains))
    found = mcnemar(~second, second, subjects)
    oracle = permutation_test((gains,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert found.exact == pytest.approx(oracle.pvalue)
    assert found.mid_p < found.exact


def test_over_people_a_difference_that_is_not_there_is_seldom_found() -> None:
    """20 people of whom each suits one of two equal networks: over faces, a quarter of all cases are called
    real, and over people one in twenty."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(400):
        differ = generator.binomial(generator.integers(5, 40, 20), 0.3)
        second = generator.random(differ.sum()) < np.repeat(generator.random(20), differ)
        people = np.repeat(np.arange(20), differ).astype(str)
        found.append([mcnemar(~second, second, each).mid_p < 0.05 for each in (None, people)])
    faces, over_people = np.mean(found, axis=0)
    assert faces > 0.2
    assert over_people < 0.07
