"""Figures of runs that differ in the seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.result import Evaluation
from mien.plotting import COLOURS, draw_matrix, percent, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def per_class(evaluations: Sequence[Evaluation]) -> dict[str, list[float]]:
    """Class to its F1 in each evaluation; classes without faces are left out."""
    first = evaluations[0].scores.per_class
    return {
        name: [each.scores.per_class[name].f1 for each in evaluations]
        for name, score in first.items()
        if score.support
    }


def mean_confusion(evaluations: Sequence[Evaluation]) -> NDArray[np.float64]:
    """The mean over the evaluations of the shares (C, C) of each label's faces; NaN for a class without."""
    counts = np.stack([each.scores.confusion for each in evaluations]).astype(np.float64)
    totals = counts.sum(axis=2, keepdims=True)
    shares: NDArray[np.float64] = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan).mean(axis=0)
    return shares


def draw_per_class(axes: Axes, scores: Mapping[str, Sequence[float]]) -> None:
    """A bar per class for the mean, and a mark per seed."""
    axes.bar(range(len(scores)), [np.mean(each) for each in scores.values()], color=COLOURS[5], width=0.62)
    for place, each in enumerate(scores.values()):
        spread = np.linspace(-0.16, 0.16, len(each))
        axes.plot(place + spread, each, "o", color=COLOURS[0], ms=6, mec="white")
    axes.set_xticks(range(len(scores)), list(scores))
    axes.set_ylim(0, 1)
    percent(axes, "y")
    quiet(axes)
    axes.set(title="F1 per class: mean of the seeds, and each seed", ylabel="F1")


def draw_mean_confusion(axes: Axes, shares: NDArray[np.float64], names: Sequence[str]) -> None:
    """The mean shares as a matrix."""
    draw_matrix(axes, shares, names, names, below="predicted", left="label")
    axes.set_title("Confusion matrix, mean of the seeds")
