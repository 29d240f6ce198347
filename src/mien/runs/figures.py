"""Figures of one run or of several over each other: one colour per run, dashes for the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import MissingExtra
from mien.plotting import COLOURS, QUIET, quiet, save
from mien.runs.curves import Floats, Learning, read_run
from mien.runs.preview import Preview

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# More runs than colours repeat the colours with another style of line.
_STYLES = ("-", "-.", ":")
# A running median over a hundredth of the steps shows the course without the noise.
_WINDOWS = 100


def draw_run(folder: Path) -> list[Path]:
    """The files training.png, .svg and .pdf in a run's folder: loss, accuracy, learning rate and gap.

    Raises:
        DataError: the folder has no finished epoch.
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("Drawing a run", "train") from error
    runs = [read_run(folder)]
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    draws = (draw_losses, draw_accuracies, draw_learning_rates, draw_gaps)
    for draw, axes in zip(draws, figure.subplots(2, 2).flat, strict=True):
        draw(axes, runs)
    figure.suptitle(runs[0].name, fontsize=13)
    return save(figure, folder, "training")


def draw_losses(axes: Axes, runs: Sequence[Learning]) -> None:
    """Cross-entropy of the labels on both splits, by epoch."""
    _both_splits(axes, runs, "loss", "{:.3f}")
    axes.set(title="Loss", ylabel="cross-entropy of the labels")


def draw_accuracies(axes: Axes, runs: Sequence[Learning]) -> None:
    """Accuracy on both splits, by epoch."""
    from matplotlib.ticker import PercentFormatter

    _both_splits(axes, runs, "accuracy", "{:.1%}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(title="Accuracy", ylabel="share of correct predictions")


def draw_gaps(axes: Axes, runs: Sequence[Learning]) -> None:
    """Validation loss minus train loss, by epoch, with the epoch from which it stays above zero."""
    axes.axhline(0, color=QUIET, linewidth=1)
    for index, run in enumerate(runs):
        epoch, gap, look = run.curves.epochs["epoch"], run.curves.epochs["gap"], _appearance(index)
        start = "does not open" if run.gap_opens is None else f"opens at epoch {run.gap_opens:.0f}"
        label = f"{run.name}: {start}" if len(runs) > 1 else start
        axes.plot(epoch, gap, marker="o", markersize=4, label=label, **look)
        if run.gap_opens is not None:
            axes.axvline(run.gap_opens, color=look["color"], linestyle=":", linewidth=1.2)
    _by_epoch(axes, runs)
    axes.set(title="Gap: validation loss minus train loss", ylabel="difference of loss")
    _legend(axes, runs)


def draw_learning_rates(axes: Axes, runs: Sequence[Learning]) -> None:
    """The learning rate by step, over the epochs."""
    for index, run in enumerate(runs):
        rate = run.step_values("lr")
        marker = "o" if len(rate) == 1 else None
        axes.plot(run.step_epochs, rate, label=run.name, marker=marker, linewidth=1.8, **_appearance(index))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes.set_ylim(bottom=0)
    quiet(axes)
    axes.set(title="Learning rate", xlabel="epochs", ylabel="learning rate")
    if len(runs) > 1:
        _legend(axes, runs)


def draw_gradient_norms(axes: Axes, runs: Sequence[Learning]) -> None:
    """The norm of the gradient before clipping: every step, and the running median."""
    _by_step(axes, runs, "gradient_norm", 1)
    axes.set(title="Norm of the gradient, before clipping", ylabel="norm")


def draw_step_times(axes: Axes, runs: Sequence[Learning]) -> None:
    """Milliseconds of a step: every step, and the running median."""
    _by_step(axes, runs, "seconds", 1000)
    axes.set(title="Time of a step", ylabel="ms")


def draw_overview(axes: Axes, table: pd.DataFrame) -> None:
    """The table of `mien.reports.training.overview`, one line per run."""
    form: dict[str, Callable[[Any], str]] = {
        "run": str,
        "epochs": "{:.0f}".format,
        "best epoch": _number("{:.0f}"),
        "split": str,
        "accuracy": _number("{:.2%}"),
        "loss": _number("{:.3f}"),
        "last accuracy": _number("{:.2%}"),
        "gap opens": _number("{:.0f}"),
        "step_ms": _number("{:.0f}"),
        "minutes": _number("{:.1f}"),
    }
    heads = {
        "gap opens": "gap opens at", "step_ms": "ms per step", "accuracy": "its accuracy", "loss": "its loss",
        "last accuracy": "last epoch's",
    }  # fmt: skip
    names = list(form)
    longest = max(len(str(name)) for name in table["run"])
    widths = [min(0.1 + 0.009 * longest, 0.3), *[0.08] * 9]
    drawn = axes.table(
        [[form[str(name)](value) for name, value in row.items()] for row in table[names].to_dict("records")],
        colLabels=[heads.get(name, name) for name in names],
        colWidths=[width / sum(widths) for width in widths],
        cellLoc="left",
        loc="center",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9.5)
    drawn.scale(1, 1.5)
    for (row, _), cell in drawn.get_celld().items():
        cell.set(edgecolor="#dddddd", facecolor="#eef3f7" if row == 0 else "white")
    axes.set_axis_off()


def draw_preview(axes: Axes, preview: Preview, title: str) -> None:
    """Faces as they are in the data, and below each what the network is given, with its target."""
    for index, caption in enumerate(preview.captions):
        x, y = index % preview.columns * 1.06, -(index // preview.columns) * 2.5
        for below, faces in ((0, preview.before), (1.03, preview.after)):
            extent = (x, x + 1, y - below - 1, y - below)
            axes.imshow(faces[index], cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        text = caption.replace(", ", "\n")
        axes.text(x + 0.5, y - 2.06, text, ha="center", va="top", fontsize=9, linespacing=1.15)
    axes.set(xlim=(-0.03, preview.columns * 1.06 - 0.03), ylim=(-preview.rows * 2.5, 0.03), aspect="equal")
    axes.set_axis_off()
    axes.set_title(title)


def running_median(values: Floats, window: int) -> Floats:
    """The median of the `window` values around each, fewer at the ends, (N,)."""
    half = window // 2
    return np.array([np.median(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))])


def _both_splits(axes: Axes, runs: Sequence[Learning], name: str, form: str) -> None:
    several = len(runs) > 1
    for index, run in enumerate(runs):
        epochs, look = run.curves.epochs, _appearance(index)
        train, validation = epochs[f"train_{name}"], epochs[f"validation_{name}"]
        labels = ("", run.name) if several else ("train, augmented", "validation")
        dashed: dict[str, Any] = {
            "linestyle": "--",
            "marker": "s",
            "markersize": 3,
            "alpha": 0.75,
            "color": look["color"],
        }
        axes.plot(epochs["epoch"], train, label=labels[0] or "_nolegend_", **dashed)
        axes.plot(epochs["epoch"], validation, marker="o", markersize=4, label=labels[1], **look)
        if run.best is not None:
            epoch, value = epochs["epoch"][run.best], validation[run.best]
            label = "_nolegend_" if several else f"best epoch, {epoch:.0f}: {form.format(value)}"
            axes.plot(epoch, value, "o", markersize=11, fillstyle="none", color="black", label=label)
    if several:
        axes.plot([], [], color=QUIET, linestyle="--", marker="s", markersize=3, label="train, augmented")
        axes.plot([], [], color=QUIET, marker="o", markersize=4, label="validation")
        axes.plot([], [], "o", color="black", markersize=9, fillstyle="none", label="best epoch")
    _by_epoch(axes, runs)
    _legend(axes, runs)


def _by_step(axes: Axes, runs: Sequence[Learning], column: str, factor: float) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    for index, run in enumerate(runs):
        values, look = run.step_values(column) * factor, _appearance(index)
        points: dict[str, Any] = {"markersize": 2, "alpha": 0.18, "rasterized": True}
        axes.plot(run.step_epochs, values, ".", color=look["color"], **points)
        course = running_median(values, max(len(values) // _WINDOWS, 1))
        marker = "o" if len(values) == 1 else None
        axes.plot(run.step_epochs, course, label=run.name, marker=marker, linewidth=1.8, **look)
    quiet(axes)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,.6g}")
    axes.set_xlabel("epochs")
    _legend(axes, runs)


def _by_epoch(axes: Axes, runs: Sequence[Learning]) -> None:
    """Whole epochs on the axis, also where there is only one."""
    from matplotlib.ticker import MaxNLocator

    quiet(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, max(run.curves.epochs["epoch"][-1] for run in runs) + 0.5)
    axes.set_xlabel("epoch")


def _legend(axes: Axes, runs: Sequence[Learning]) -> None:
    outside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(runs) > 1 else {}
    axes.legend(frameon=False, fontsize=9, **outside)


def _appearance(index: int) -> dict[str, Any]:
    style = _STYLES[index // len(COLOURS) % len(_STYLES)]
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": style}


def _number(form: str) -> Callable[[Any], str]:
    """Formats a number; a dash for none."""
    return lambda value: "–" if value is None or value != value else form.format(value)
