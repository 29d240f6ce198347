"""What a run looked like: loss, accuracy, learning rate and the gap of the splits, from its CSV files."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import DataError, MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's blue and vermilion, and a grey: told apart by people with any colour vision.
# Source: https://jfly.uni-koeln.de/color/
_TRAIN, _VALIDATION, _QUIET = "#0072B2", "#D55E00", "#595959"

_FORMATS = ("png", "svg")


@dataclass(frozen=True)
class Curves:
    """A run's columns: `epochs` by name, one value an epoch; `steps` by name, one value a step."""

    epochs: dict[str, list[float]]
    steps: dict[str, list[float]]

    @property
    def best(self) -> int | None:
        """The index of the best epoch, None if none is marked."""
        marked = [i for i, best in enumerate(self.epochs["best"]) if best]
        return marked[-1] if marked else None


def read_curves(folder: Path) -> Curves:
    """The curves of a run's folder.

    Raises:
        DataError: metrics.csv or steps.csv is missing or holds no row.
    """
    curves = Curves(_columns(folder / "metrics.csv"), _columns(folder / "steps.csv"))
    if not curves.epochs:
        raise DataError(f"{folder / 'metrics.csv'} has no epoch yet, so there is nothing to draw.")
    return curves


def draw_run(folder: Path) -> list[Path]:
    """The pictures of a run, training.png and training.svg in its folder: four panels over the epochs.

    Raises:
        DataError: the folder holds no finished epoch.
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("Drawing a run", "train") from error
    curves = read_curves(folder)
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    (loss, accuracy), (rate, gap) = figure.subplots(2, 2)
    draw_loss(loss, curves)
    draw_accuracy(accuracy, curves)
    draw_learning_rate(rate, curves)
    draw_gap(gap, curves)
    figure.suptitle(folder.resolve().name, fontsize=13)
    paths = [folder / f"training.{ending}" for ending in _FORMATS]
    # Without a date and with names that are not random, the same run gives the same file.
    with rc_context({"svg.hashsalt": "mien"}):
        for path in paths:
            figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def draw_loss(axes: Axes, curves: Curves) -> None:
    """Cross-entropy of the labels on both splits, by epoch."""
    _pair(axes, curves, "loss", "{:.3f}")
    axes.set(title="Loss", ylabel="cross-entropy of the labels")


def draw_accuracy(axes: Axes, curves: Curves) -> None:
    """Accuracy on both splits, by epoch, with the best epoch marked."""
    from matplotlib.ticker import PercentFormatter

    _pair(axes, curves, "accuracy", "{:.1%}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(title="Accuracy", ylabel="faces named right")


def draw_learning_rate(axes: Axes, curves: Curves) -> None:
    """The learning rate by step, with the epochs' ends below."""
    step, lr = curves.steps.get("step", []), curves.steps.get("lr", [])
    axes.plot(step, lr, color=_QUIET, linewidth=1.8, marker="o" if len(step) == 1 else None)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    _style(axes)
    axes.set(title="Learning rate", xlabel="step", ylabel="learning rate")
    axes.set_ylim(bottom=0)


def draw_gap(axes: Axes, curves: Curves) -> None:
    """Validation loss less train loss, by epoch; above zero and rising, the network learns by heart."""
    epoch, gap = curves.epochs["epoch"], curves.epochs["gap"]
    axes.axhline(0, color=_QUIET, linewidth=1)
    axes.plot(epoch, gap, color="black", linewidth=1.8, marker="o", markersize=4)
    axes.fill_between(
        epoch, 0, gap, where=[g > 0 for g in gap], color=_VALIDATION, alpha=0.2, interpolate=True
    )
    opened = gap_opening(gap)
    if opened is not None:
        axes.axvline(epoch[opened], color=_VALIDATION, linestyle=":", linewidth=1.5)
        axes.annotate(
            f"above zero from epoch {epoch[opened]:.0f}",
            (epoch[opened], 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            va="top",
            ha="left" if opened < len(gap) * 0.6 else "right",
            fontsize=9,
        )
    _style(axes)
    _count_epochs(axes, epoch)
    axes.set(title="Gap: validation loss less train loss", ylabel="difference of loss")


def gap_opening(gap: list[float]) -> int | None:
    """The index from which on the gap stays above zero; None where it ends at or below zero."""
    start = 1 + max((i for i, value in enumerate(gap) if not value > 0), default=-1)
    return start if start < len(gap) else None


def _pair(axes: Axes, curves: Curves, name: str, form: str) -> None:
    epoch = curves.epochs["epoch"]
    train, validation = curves.epochs[f"train_{name}"], curves.epochs[f"validation_{name}"]
    axes.plot(epoch, train, color=_TRAIN, linestyle="--", marker="s", markersize=4, label="train, augmented")
    axes.plot(epoch, validation, color=_VALIDATION, marker="o", markersize=4, label="validation")
    if (best := curves.best) is not None:
        axes.plot(
            epoch[best],
            validation[best],
            linestyle="none",
            marker="o",
            markersize=11,
            fillstyle="none",
            color="black",
            label=f"best epoch, {epoch[best]:.0f}: {form.format(validation[best])}",
        )
    _style(axes)
    _count_epochs(axes, epoch)
    axes.legend(frameon=False, fontsize=9)


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def _count_epochs(axes: Axes, epoch: list[float]) -> None:
    """Whole epochs on the axis, also where there is one only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(epoch[0] - 0.5, epoch[-1] + 0.5)
    axes.set_xlabel("epoch")


def _columns(path: Path) -> dict[str, list[float]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: {path.parent} is no folder of a run.") from None
    return {name: [_number(row[name]) for row in rows] for name in rows[0]} if rows else {}


def _number(text: str) -> float:
    """A cell as a number: truth as 1 or 0, nothing as not a number."""
    if text in ("True", "False"):
        return float(text == "True")
    return float(text) if text else math.nan
