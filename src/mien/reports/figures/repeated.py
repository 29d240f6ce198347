"""Figures of runs that differ in the seed or in the fold alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.result import Evaluation
from mien.plotting import COLOURS, draw_matrix, percent, quiet
from mien.runs.folds import CrossValidation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def per_class(evaluations: Sequence[Evaluation]) -> dict[str, list[float]]:
    """Class to its F1 in each evaluation, NaN where that has no face of the class.

    Classes without a face in any evaluation are left out.
    """
    scores = [each.scores.per_class for each in evaluations]
    return {
        name: [each[name].f1 if each[name].support else np.nan for each in scores]
        for name in scores[0]
        if any(each[name].support for each in scores)
    }


def mean_confusion(evaluations: Sequence[Evaluation]) -> NDArray[np.float64]:
    """The mean over the evaluations of the shares (C, C) of each label's faces; NaN for a class without."""
    counts = np.stack([each.scores.confusion for each in evaluations]).astype(np.float64)
    totals = counts.sum(axis=2, keepdims=True)
    shares: NDArray[np.float64] = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan).mean(axis=0)
    return shares


def draw_per_class(axes: Axes, scores: Mapping[str, Sequence[float]], of: str) -> None:
    """A bar per class for the mean, and a mark per run; `of` is what the runs differ in: seed or fold."""
    axes.bar(range(len(scores)), [np.nanmean(each) for each in scores.values()], color=COLOURS[5], width=0.62)
    for place, each in enumerate(scores.values()):
        spread = np.linspace(-0.16, 0.16, len(each))
        axes.plot(place + spread, each, "o", color=COLOURS[0], ms=6, mec="white")
    axes.set_xticks(range(len(scores)), list(scores))
    axes.set_ylim(0, 1)
    percent(axes, "y")
    quiet(axes)
    axes.set(title=f"F1 per class: mean of the {of}s, and each {of}", ylabel="F1")


def draw_mean_confusion(axes: Axes, shares: NDArray[np.float64], names: Sequence[str]) -> None:
    """The mean shares as a matrix."""
    draw_matrix(axes, shares, names, names, below="predicted", left="label")
    axes.set_title("Confusion matrix, mean of the seeds")


def draw_folds(axes: Axes, found: CrossValidation) -> None:
    """The accuracy of each fold after its last epoch and at its best one, and the means as lines."""
    folds = [each.fold for each in found.folds]
    best = [each.best_accuracy for each in found.folds]
    last = [each.last_accuracy for each in found.folds]
    for mean, colour in ((found.best_mean, COLOURS[4]), (found.mean, COLOURS[0])):
        axes.axhline(mean, color=colour, lw=1.2, ls="--")
    label = f"best epoch, mean {found.best_mean:.1%}"
    axes.plot(folds, best, "o", color=COLOURS[4], ms=13, mfc="none", mew=2, label=label)
    label = f"last epoch, mean {found.mean:.1%}"
    axes.plot(folds, last, "o", color=COLOURS[0], ms=8, mec="white", label=label)
    axes.set_xticks(folds)
    axes.set_ylim(0, 1.05)
    percent(axes, "y")
    quiet(axes)
    axes.legend()
    axes.set(title="Accuracy of each fold", xlabel="fold", ylabel="accuracy")
