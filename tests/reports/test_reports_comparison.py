"""A comparison holds every pair, with and without the faces that are in Training, and is drawn."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from mien.evaluation.comparison import CommonFaces
from mien.plotting import new_figure
from mien.reports.comparison import Comparison, compare_models, scope, sections
from mien.reports.tabular import of_comparison, render_all
from mien.testing.fakes import overhang

CLASSES = ("happy", "sad", "neutral")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Three classifiers on 400 faces: right on 60 %, 61 % and 80 %; every fourth face is in Training too."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 400)
    hard = generator.permutation(400) / 400
    answers = np.stack([np.where(hard < share, truth, (truth + 1) % 3) for share in (0.6, 0.61, 0.8)])
    meeting = CommonFaces(("a", "b", "c"), CLASSES, truth, answers, np.arange(400) % 4 > 0, {"c": 7})
    return compare_models(meeting, partial(np.random.default_rng, 0), resamples=300)


def test_every_pair_is_there_and_its_p_is_adjusted(comparison: Comparison) -> None:
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [round(pair.paired.accuracy.value, 4) for pair in comparison.pairs] == [0.01, 0.2, 0.19]
    raw = [pair.paired.test.mid_p for pair in comparison.pairs]
    assert [pair.p for pair in comparison.pairs] == pytest.approx([raw[0], 3 * raw[1], 2 * raw[2]])
    assert comparison.pairs[0].verdict.startswith("No real difference")
    assert comparison.pairs[1].verdict.startswith("The difference is real: c is ahead of a by 20.0 points")


def test_the_same_is_said_of_the_faces_that_are_not_in_training(comparison: Comparison) -> None:
    assert comparison.n == 400
    assert comparison.deduplicated is not None
    assert comparison.deduplicated.n == 300
    assert comparison.left_out == {"c": 7}
    assert sum(comparison.support.values()) == 400
    for each in comparison.models:
        assert each.accuracy_ci95[0] < each.accuracy < each.accuracy_ci95[1]


def test_its_repr_is_one_line_with_each_accuracy(comparison: Comparison) -> None:
    shown = ", ".join(f"{each.name} {each.accuracy:.1%}" for each in comparison.models)
    assert repr(comparison) == f"<Comparison on 400 faces: accuracy {shown}>"


def test_its_figures_name_everything_and_clip_nothing(comparison: Comparison) -> None:
    for section in sections(comparison):
        figure, axes = new_figure(*section.size)
        section.draw(axes)
        assert overhang(figure) <= 0.01, section.name


def test_seeds_of_one_recipe_are_one_model() -> None:
    """Three seeds of `a`, three of `b` and one network `c`: means, their test, and for whom it holds."""
    generator = np.random.default_rng(0)
    truth, hard = generator.integers(0, 3, 300), generator.permutation(300) / 300
    shares = (0.60, 0.61, 0.62, 0.75, 0.77, 0.76, 0.61)
    predicted = np.stack([np.where(hard < share, truth, (truth + 1) % 3) for share in shares])
    several = CommonFaces(
        ("a", "b", "c"), CLASSES, truth, predicted, None, {}, seeds=((0, 1, 2), (0, 1, 2), None)
    )
    found = compare_models(several, partial(np.random.default_rng, 0), resamples=200)
    a, b, c = found.models
    assert a.accuracy == pytest.approx(0.61)
    assert a.accuracy_sd == pytest.approx(0.01)
    assert (b.seeds, c.seeds, c.accuracy_sd) == ((0, 1, 2), None, None)
    between, alone = found.pairs[0], found.pairs[1]
    assert between.paired.accuracy.value == pytest.approx(0.15)
    assert between.verdict.startswith("The difference is real: b is ahead of a by 15.0 points")
    assert "3 seeds of each, compared seed by seed" in between.paired.evidence("a", "b")
    assert "3 seeds of a and one c" in alone.paired.evidence("a", "c")
    assert "but of c for that one network alone" in scope(found)
    assert "a (3 seeds, standard deviation 1.00)" in render_all(of_comparison(found), "markdown")
