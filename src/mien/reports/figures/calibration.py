"""Calibration of a model, measured and drawn: reliability, coverage, conformal sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.data.votes import vote_shares
from mien.emotions import FERPLUS
from mien.errors import UsageError
from mien.evaluation.calibration.conformal import prediction_set
from mien.evaluation.calibration.temperature import Calibration, calibrate, split_half
from mien.evaluation.metrics.calibration import CoverageCurve, Reliability, reliability
from mien.evaluation.metrics.votes import voters_reliability
from mien.evaluation.predictions import Predictions, align
from mien.plotting import COLOURS, QUIET, draw_stacked, percent, quiet
from mien.probabilities import tempered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The points of the coverage curve that the figure names.
NAMED_COVERAGES = (0.5, 0.8, 1.0)
# With fewer faces the accuracy is noise: the first points of the curve jump.
_FIRST_FACES = 20
# Bins with fewer faces are drawn, and no line goes through them.
_FEW = 10
# From light to dark blue: sets of one class, of two, and so on.
_SIZES = "Blues_r"


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """Calibration of a model's predictions, fitted on one half of the faces and measured on the other.

    Attributes:
        calibration: temperature and conformal sets; its temperature acts on the probabilities without one.
        before, after: the measured half, without any temperature and with the fitted one.
        voters: whether accuracy means the voters' share of the prediction, not the label.
        applied_temperature: the temperature that the model's own probabilities contain.
        set_sizes: (coverages, C) share of the measured faces whose set has 1, 2, ... C classes.
        class_coverage: for each coverage, name to the share of its faces whose set contains it.
        not_in_training: whether the faces have no pixel-identical one in Training.
    """

    calibration: Calibration
    before: Reliability
    after: Reliability
    voters: bool
    applied_temperature: float
    set_sizes: NDArray[np.float64]
    class_coverage: tuple[dict[str, float], ...]
    not_in_training: bool


def measure_calibration(
    predictions: Predictions, generator: np.random.Generator, *, applied_temperature: float = 1.0
) -> CalibrationReport | None:
    """The calibration of a classifier's predictions; None if there are too few faces for two halves.

    `applied_temperature` is the temperature that its probabilities already hold: it is taken out first. Faces
    that stand in Training are left out where they are known. Predictions against the FER+ majority are
    compared with the voters' shares, which the head of votes was trained to predict.
    """
    p = predictions
    kept = (
        p.not_in_training
        if p.not_in_training is not None and p.not_in_training.any()
        else np.ones(len(p.truth), bool)
    )
    raw, truth, keys = (
        tempered(p.probabilities[kept], 1 / applied_temperature),
        p.truth[kept],
        p.faces.pixel_keys[kept],
    )
    voters = None
    if p.labels == "ferplus" and p.faces.votes is not None:
        eight = vote_shares(p.faces.votes[kept]).astype(np.float64)
        voters = align(eight, FERPLUS, p.classes).astype(np.float64)
    half = split_half(keys)
    try:
        found = calibrate(raw, truth, half, generator, voters=voters)
    except UsageError:  # one half is empty
        return None
    after = tempered(raw, found.temperature)[~half]
    truth = truth[~half]
    sets = [prediction_set(after.copy(), fit.threshold) for fit in found.conformal]
    return CalibrationReport(
        calibration=found,
        before=_reliability(raw[~half], truth, None if voters is None else voters[~half]),
        after=_reliability(after, truth, None if voters is None else voters[~half]),
        voters=voters is not None,
        applied_temperature=applied_temperature,
        set_sizes=np.stack([_sizes(each) for each in sets]),
        class_coverage=tuple(_covered(each, truth, p.classes) for each in sets),
        not_in_training=p.not_in_training is not None and bool(p.not_in_training.any()),
    )


def draw_reliability(axes: Axes, report: CalibrationReport) -> None:
    """Accuracy against confidence, before and after the temperature; the areas show the number of faces."""
    c = report.calibration
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=":")
    shown = (
        (report.before, f"without temperature: ECE {c.ece_before:.3f}", "s", COLOURS[1]),
        (report.after, f"temperature {c.temperature:.2f}: ECE {c.ece_after:.3f}", "o", COLOURS[0]),
    )
    for bins, label, mark, colour in shown:
        there = bins.count > 0
        x, y, n = bins.confidence[there], bins.accuracy[there], bins.count[there]
        axes.plot(x[n >= _FEW], y[n >= _FEW], "-", color=colour, lw=1.2)
        axes.scatter(x, y, s=14 + 340 * n / n.sum(), marker=mark, color=colour, edgecolor="white", zorder=3)
        axes.plot([], [], mark + "-", color=colour, ms=8, label=label)
    axes.plot([], [], " ", label=f"perfectly calibrated, by chance: {c.ece_noise:.3f}")
    measured = "share of the voters who chose it" if report.voters else "accuracy"
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        xlabel="confidence of the prediction",
        ylabel=measured,
        title=f"Reliability, {c.n_measured:,} held-out faces",
    )
    percent(axes, "xy")
    quiet(axes)
    axes.legend(frameon=False, loc="lower right")


def draw_coverage(axes: Axes, curve: CoverageCurve) -> None:
    """Accuracy on the most confident faces, over the share of faces that is predicted."""
    shown = slice(min(_FIRST_FACES, len(curve.coverage)) - 1, None)
    axes.plot(curve.coverage[shown], curve.accuracy[shown], color=COLOURS[0], lw=2)
    for share in NAMED_COVERAGES:
        y = curve.accuracy_at(share)
        axes.plot(share, y, "o", color=COLOURS[1], ms=8, zorder=3)
        axes.annotate(
            f"coverage {share:.0%}:\naccuracy {y:.1%}",
            (share, y),
            (-8, -10),
            textcoords="offset points",
            ha="right",
            va="top",
        )
    lowest = float(curve.accuracy[shown].min())
    axes.set(
        xlim=(0, 1.03),
        ylim=(max(0, lowest - 0.15), 1.01),
        xlabel="coverage: share of the faces that is predicted, the most confident first",
        ylabel="accuracy on these faces",
        title="Accuracy against coverage",
    )
    percent(axes, "xy")
    quiet(axes)


def draw_sets(axes: Axes, report: CalibrationReport) -> None:
    """How many classes the conformal sets have, for each requested coverage."""
    import matplotlib as mpl

    fits, classes = report.calibration.conformal, report.set_sizes.shape[1]
    colours = mpl.colormaps[_SIZES](np.linspace(0.12, 0.92, classes))
    rows = [
        f"{fit.coverage:.0%} requested\n{fit.measured_coverage:.1%} measured, {fit.mean_size:.2f} classes"
        for fit in fits
    ]
    inks = ["white" if size < classes * 0.45 else "black" for size in range(classes)]
    parts = [(str(i + 1), report.set_sizes[:, i], colours[i], inks[i]) for i in range(classes)]
    draw_stacked(axes, parts, rows)
    axes.set(xlabel="share of the faces", title="Number of classes in a face's conformal set")
    axes.legend(
        frameon=False,
        title="classes",
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        handlelength=1,
        handleheight=1,
    )


def draw_set_coverage(axes: Axes, report: CalibrationReport) -> None:
    """How often the sets contain the truth, per class."""
    for j, (fit, covered) in enumerate(zip(report.calibration.conformal, report.class_coverage, strict=True)):
        colour, mark = COLOURS[j], ("o", "s", "D")[j % 3]
        axes.axhline(fit.coverage, color=colour, lw=1, ls="--")
        x = np.arange(len(covered)) + 0.16 * (j - 1)
        axes.plot(x, list(covered.values()), mark, color=colour, ms=8, label=f"{fit.coverage:.0%} requested")
    names = list(report.class_coverage[0])
    lowest = min(min(each.values()) for each in report.class_coverage)
    axes.set_xticks(range(len(names)), names)
    axes.set(
        ylim=(max(0, lowest - 0.08), 1.02),
        ylabel="share of faces whose set contains it",
        title="Coverage of the conformal sets per class (dashed: requested)",
    )
    percent(axes, "y")
    quiet(axes)
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))


def _reliability(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], voters: NDArray[np.float64] | None
) -> Reliability:
    return reliability(probabilities, truth) if voters is None else voters_reliability(probabilities, voters)


def _sizes(members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of the faces with a set of 1, 2, ... C classes, (C,)."""
    counted = np.bincount(members.sum(axis=1), minlength=members.shape[1] + 1)[1:]
    return counted / len(members)


def _covered(
    members: NDArray[np.bool_], truth: NDArray[np.int64], classes: tuple[str, ...]
) -> dict[str, float]:
    return {
        name: float(members[truth == i, i].mean()) for i, name in enumerate(classes) if (truth == i).any()
    }
