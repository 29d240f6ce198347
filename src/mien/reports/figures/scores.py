"""Figures of scores: confusion, scores per class, curves, the first two predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.classification import PrecisionRecall, Roc, precision_recall, roc
from mien.evaluation.metrics.ranking import Ranking
from mien.evaluation.predictions import Predictions
from mien.plotting import COLOURS, QUIET, draw_matrix, draw_stacked, percent, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With the colours, so that eight classes differ in black and white, too.
_DASHES = ("-", "--", "-.", ":")
_MARKS = ("o", "s", "D")
# Points of a curve in the JSON.
_POINTS = 100
# Below this recall few faces decide the precision, and the curve jumps.
_FIRST_RECALL = 0.02


@dataclass(frozen=True)
class Estimate:
    """A share, and its 95 % bootstrap interval over faces, or over people where they are known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassEstimates:
    """One class against the rest, with intervals, and how many faces it has."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    faces: int


@dataclass(frozen=True, eq=False)
class ClassCurves:
    """The curves of one class's probability against all other classes."""

    roc: Roc
    precision_recall: PrecisionRecall
    faces: int


def class_estimates(
    predictions: Predictions, generator: np.random.Generator, *, resamples: int = 2000
) -> dict[str, ClassEstimates]:
    """Precision, recall and F1 of each class that has faces, with intervals."""
    p = predictions
    counts = metrics.confusion(p.probabilities, p.truth)
    people = p.subjects
    by_subject = None if people is None else metrics.confusion_by_subject(p.probabilities, p.truth, people)
    found = {}
    for name, score in (("precision", metrics.precision), ("recall", metrics.recall), ("f1", metrics.f1)):
        bounds = metrics.bootstrap_intervals(
            counts, score, generator, resamples=resamples, by_subject=by_subject
        )
        found[name] = [Estimate(*map(float, each)) for each in zip(score(counts), *bounds.T, strict=True)]
    return {
        name: ClassEstimates(found["precision"][i], found["recall"][i], found["f1"][i], int(n))
        for i, (name, n) in enumerate(zip(p.classes, metrics.support(counts), strict=True))
        if n
    }


def class_curves(predictions: Predictions) -> dict[str, ClassCurves]:
    """ROC and precision-recall curves of each class that has faces, if others have faces too."""
    p = predictions
    found = {}
    for i, name in enumerate(p.classes):
        positive = p.truth == i
        if positive.any() and not positive.all():
            scores = p.probabilities[:, i]
            found[name] = ClassCurves(
                roc(scores, positive), precision_recall(scores, positive), int(positive.sum())
            )
    return found


def draw_counts(axes: Axes, counts: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    """The confusion matrix in faces; shades are shares of the row."""
    counts, rows = _present(counts, classes)
    texts = [[f"{count:,}" if count else "·" for count in row] for row in counts]
    shares = counts / counts.sum(axis=1, keepdims=True)
    draw_matrix(axes, shares, rows, classes, below="prediction", left="label (faces)", texts=texts)
    axes.set_title("Confusion matrix, in faces")


def draw_shares(axes: Axes, counts: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    """The confusion matrix in shares of each row; the diagonal is the recall."""
    counts, rows = _present(counts, classes)
    shares = counts / counts.sum(axis=1, keepdims=True)
    draw_matrix(axes, shares, rows, classes, below="prediction", left="label (faces)")
    axes.set_title("Confusion matrix, each row in percent of its faces")


def _present(counts: NDArray[np.int64], classes: tuple[str, ...]) -> tuple[NDArray[np.int64], list[str]]:
    """The rows of the classes that have faces, and their names: an absent class cannot be measured."""
    sizes = counts.sum(axis=1)
    rows = [f"{name} ({n:,})" for name, n in zip(classes, sizes, strict=True) if n]
    return counts[sizes > 0], rows


def draw_classes(axes: Axes, found: dict[str, ClassEstimates]) -> None:
    """Precision, recall and F1 of each class as marks with their intervals."""
    for j, what in enumerate(("precision", "recall", "f1")):
        estimates = [getattr(each, what) for each in found.values()]
        values = np.array([each.value for each in estimates])
        low, high = (np.array([getattr(each, end) for each in estimates]) for end in ("low", "high"))
        places = np.arange(len(found)) + 0.22 * (j - 1)
        axes.errorbar(
            places,
            values,
            yerr=np.abs(np.stack([values - low, high - values])),
            fmt=_MARKS[j],
            color=COLOURS[j],
            capsize=3,
            ms=6,
            lw=1.4,
            label="F1" if what == "f1" else what,
        )
    axes.set_xticks(range(len(found)), [f"{name}\n{each.faces:,}" for name, each in found.items()])
    axes.set(ylim=(0, 1.02), title="Precision, recall and F1 of each class (bars: 95 % intervals)")
    axes.set_xlabel("class, and its faces")
    percent(axes, "y")
    quiet(axes)
    axes.legend(frameon=False, ncols=3, loc="lower right")


def draw_roc(axes: Axes, found: dict[str, ClassCurves]) -> None:
    """The ROC curve of each class, with its area in the legend."""
    axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=1)
    for i, name, each in _sorted(found, {name: each.roc.auc for name, each in found.items()}):
        curve = each.roc
        axes.plot(
            curve.false_positive_rate, curve.true_positive_rate, **_style(i), label=f"{name} {curve.auc:.3f}"
        )
    axes.set(
        xlabel="false positive rate",
        ylabel="true positive rate",
        title="ROC, each class against the rest",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
    )
    percent(axes, "xy")
    quiet(axes)
    axes.legend(frameon=False, title="area", loc="center left", bbox_to_anchor=(1, 0.5))


def draw_precision_recall(axes: Axes, found: dict[str, ClassCurves]) -> None:
    """The precision-recall curve of each class, with its average precision in the legend."""
    areas = {name: each.precision_recall.average_precision for name, each in found.items()}
    for i, name, each in _sorted(found, areas):
        curve = each.precision_recall
        label = f"{name} {curve.average_precision:.3f}"
        shown = curve.recall >= _FIRST_RECALL
        axes.plot(curve.recall[shown], curve.precision[shown], **_style(i), label=label)
    axes.set(
        xlabel="recall",
        ylabel="precision",
        title="Precision against recall, each class against the rest",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.02),
    )
    percent(axes, "xy")
    quiet(axes)
    axes.legend(frameon=False, title="average precision", loc="center left", bbox_to_anchor=(1, 0.5))


def draw_top_k(axes: Axes, ranking: Ranking) -> None:
    """The share of faces whose label is among the k most probable classes."""
    ks = np.arange(1, len(ranking.top_k_accuracy) + 1)
    axes.plot(ks, ranking.top_k_accuracy, "o-", color=COLOURS[0], ms=7)
    for k, share in zip(ks, ranking.top_k_accuracy, strict=True):
        axes.annotate(f"{share:.1%}", (k, share), (5, -15), textcoords="offset points", fontsize=9)
    axes.set_xticks(ks)
    axes.set(
        ylim=(min(ranking.top_k_accuracy) - 0.12, 1.02),
        xlim=(0.6, ks[-1] + 0.4),
        xlabel="k: number of most probable classes",
        ylabel="faces whose label is among them",
        title="Top-k accuracy",
    )
    percent(axes, "y")
    quiet(axes)


def draw_top_two(axes: Axes, ranking: Ranking, recalls: dict[str, float]) -> None:
    """For each class, how often its faces have it first, and among the first two."""
    names = list(ranking.per_class_top2)
    for i, name in enumerate(names):
        first, two = recalls[name], ranking.per_class_top2[name]
        axes.plot([first, two], [i, i], color="#bbbbbb", lw=3, solid_capstyle="butt", zorder=1)
        axes.plot(first, i, "o", color=COLOURS[0], ms=9, label="first prediction" if not i else None)
        axes.plot(two, i, "D", color=COLOURS[1], ms=8, label="first two predictions" if not i else None)
        axes.annotate(f"+{100 * (two - first):.0f}", ((first + two) / 2, i), (0, 5), **_CENTRED)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.02), title="Gain from the second prediction, in percentage points")
    axes.set_xlabel("share of the class's faces")
    percent(axes, "x")
    quiet(axes, grid="x")
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))


def draw_pairs(axes: Axes, ranking: Ranking) -> None:
    """Pairs of first and second prediction: how often the first is correct, the second, or neither."""
    pairs = ranking.pairs
    first = np.array([pair.first_right for pair in pairs])
    second = np.array([pair.second_right for pair in pairs])
    parts = (
        ("first is the label", first, COLOURS[0], "white"),
        ("second is the label", second, COLOURS[4], "black"),
        ("neither", 1 - first - second, "#d5d5d5", "black"),
    )
    rows = [f"{p.first}, {p.second} ({p.faces:,})" for p in pairs]
    draw_stacked(axes, parts, rows, least=0.06)
    axes.set_title("First and second prediction, the most frequent pairs")
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.4, -0.06))


def thinned(values: NDArray[np.float64]) -> str:
    """At most a hundred points of a curve, evenly spaced, as text of numbers with spaces between."""
    index = np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).round().astype(int))
    return " ".join(f"{value:.4f}" for value in values[index])


_CENTRED: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 9, "color": QUIET}


def _sorted(found: dict[str, ClassCurves], by: dict[str, float]) -> list[tuple[int, str, ClassCurves]]:
    """Index, name and curves of each class, the largest first; the index gives a class its colour."""
    places = [(i, name, each) for i, (name, each) in enumerate(found.items())]
    return sorted(places, key=lambda item: -by[item[1]])


def _style(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % len(COLOURS)], "ls": _DASHES[i % len(_DASHES)], "lw": 1.7}
