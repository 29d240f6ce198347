"""Figures beyond one label per face: several labels, binary tasks, groups of people, corrupted images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.evaluation.binary import BinaryScores
from mien.evaluation.fairness import GroupScores
from mien.evaluation.metrics.multilabel import MultiLabelScores
from mien.evaluation.robustness import Robustness
from mien.plotting import COLOURS, QUIET, percent, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_labels(axes: Axes, scores: MultiLabelScores) -> None:
    """Average precision of each emotion beside its F1 at the threshold, from the most frequent down."""
    shown = {name: each for name, each in scores.per_emotion.items() if each.support}
    order = sorted(shown, key=lambda name: -shown[name].support)
    for i, name in enumerate(order):
        each = shown[name]
        axes.barh(
            i,
            each.average_precision or 0,
            height=0.62,
            color=COLOURS[0],
            label="average precision" if not i else None,
        )
        axes.plot(
            each.f1,
            i,
            "D",
            color=COLOURS[4],
            mec="black",
            ms=8,
            label="F1 at the threshold" if not i else None,
        )
        axes.text(1.01, i, f"{each.average_precision or 0:.2f}", va="center", fontsize=9)
    axes.set_yticks(range(len(order)), [f"{name} ({shown[name].support:,})" for name in order])
    axes.invert_yaxis()
    axes.set(
        xlim=(0, 1),
        title=f"Several labels per face: mean average precision {scores.mean_average_precision:.3f}",
    )
    axes.tick_params(axis="y", length=0)
    quiet(axes, grid="x")
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.45, -0.08))


def draw_sweep(axes: Axes, scores: MultiLabelScores) -> None:
    """How the share of exactly matched sets depends on the model's threshold."""
    levels, exact = np.array(list(scores.sweep)), np.array(list(scores.sweep.values()))
    best = int(exact.argmax())
    axes.plot(levels, exact, "o-", color=COLOURS[0], ms=5)
    axes.axvline(scores.threshold, color=COLOURS[1], ls="--", lw=1.2)
    axes.text(
        scores.threshold,
        axes.get_ylim()[0],
        f" threshold used: {scores.exact_match:.1%}",
        color=COLOURS[1],
        va="bottom",
    )
    axes.annotate(
        f"best {exact[best]:.1%}",
        (levels[best], exact[best]),
        (10, 8),
        textcoords="offset points",
    )
    axes.margins(y=0.15)
    percent(axes, "y")
    quiet(axes)
    axes.set(
        xlabel="threshold on the probability of an emotion",
        ylabel="faces with exactly the voters' set",
        title="Exact match by threshold",
    )


def draw_binary(axes: Axes, tasks: Sequence[BinaryScores]) -> None:
    """Each question: the area below its ROC curve, its balanced accuracy, and its accuracy by guessing."""
    for i, each in enumerate(tasks):
        scores = each.scores
        first = not i
        axes.plot(
            [each.baseline] * 2,
            [i - 0.3, i + 0.3],
            color=QUIET,
            lw=2,
            label="baseline: always the larger side" if first else None,
        )
        axes.plot(
            scores.accuracy, i, "s", color=COLOURS[5], mec="black", ms=9, label="accuracy" if first else None
        )
        axes.plot(
            scores.balanced_accuracy,
            i,
            "o",
            color=COLOURS[0],
            ms=9,
            label="balanced accuracy" if first else None,
        )
        axes.plot(each.roc_auc, i, "D", color=COLOURS[1], ms=8, label="area under ROC" if first else None)
    rows = [
        f"{e.classes[1]} against {'the rest' if e.classes[0].startswith('not ') else e.classes[0]}"
        f" ({e.scores.per_class[e.classes[1]].support:,} of {e.scores.n:,})"
        for e in tasks
    ]
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set(xlim=(0.48, 1.01), title="Binary tasks, from the same probabilities")
    axes.tick_params(axis="y", length=0)
    percent(axes, "x")
    quiet(axes, grid="x")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.3, -0.08))


def draw_groups(axes: Axes, scores: GroupScores) -> None:
    """Accuracy of each group with its interval; those with too few faces are named."""
    for i, each in enumerate(scores.groups.values()):
        if each.accuracy is None or each.accuracy_ci95 is None:
            axes.text(0.02, i, f"fewer than {scores.minimum_n} faces: not scored", va="center", color=QUIET)
            continue
        low, high = each.accuracy_ci95
        axes.plot([low, high], [i, i], color=COLOURS[0], lw=2.5)
        axes.plot(each.accuracy, i, "o", color=COLOURS[0], ms=9)
        axes.annotate(
            f"{each.accuracy:.1%}",
            (each.accuracy, i),
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(scores.groups)), [f"{name} ({e.n:,})" for name, e in scores.groups.items()])
    axes.set_ylim(len(scores.groups) - 0.4, -0.7)
    gap = "" if scores.gap is None else f": gap {100 * scores.gap:.1f} points, p = {scores.p_value:.3g}"
    axes.set(xlim=(0, 1), xlabel="accuracy, and its 95 % interval", title=f"Accuracy by {scores.column}{gap}")
    percent(axes, "x")
    quiet(axes, grid="x")


def draw_robustness(axes: Axes, found: Robustness) -> None:
    """One row per corruption: the accuracy at each level, and the mean relative to clean."""
    table = np.array([[found.clean, *each.accuracy] for each in found.corruptions])
    axes.imshow(table / max(found.clean, 1e-9), cmap="Blues", vmin=0, vmax=1.05, aspect="auto")
    for i, each in enumerate(found.corruptions):
        for j, value in enumerate(table[i]):
            ink = "white" if value > 0.6 * found.clean else "black"
            axes.text(j, i - 0.12, f"{value:.0%}", ha="center", va="center", color=ink)
            level = f"{each.levels[j - 1]:g}" if j else "-"
            axes.text(j, i + 0.27, level, ha="center", va="center", color=ink, fontsize=7.5)
        axes.text(5.62, i, f"{each.relative:.0%}", va="center", fontweight="bold")
    axes.text(5.62, -0.72, "of clean", va="center", fontsize=9)
    axes.set_xticks(range(6), ["clean", "1 weak", "2", "3", "4", "5 strong"])
    axes.set_yticks(range(len(table)), [f"{e.name}\n({e.what})" for e in found.corruptions])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        "Accuracy on corrupted images, and below it the level\n"
        f"{found.relative:.1%} of the clean accuracy is left on average",
        pad=18,
    )
