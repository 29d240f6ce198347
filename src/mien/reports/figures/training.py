"""How the learning of runs is drawn: a colour a run, dashes for the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.plotting import COLOURS, QUIET, quiet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from mien.reports.training import Learning
    from mien.runs.preview import Preview

Floats = NDArray[np.float64]

# More runs than colours go round again in another style of line.
_STYLES = ("-", "-.", ":")
# A running median over a hundredth of the steps shows the course without the noise.
_WINDOWS = 100


def draw_overview(axes: Axes, table: pd.DataFrame) -> None:
    """The table of `overview`, a line a run."""
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
        "gap opens": "gap opens at", "step_ms": "ms a step", "accuracy": "its accuracy", "loss": "its loss",
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


def draw_losses(axes: Axes, runs: Sequence[Learning]) -> None:
    """Cross-entropy of the labels on both splits, by epoch."""
    _both_splits(axes, runs, "loss")
    axes.set(title="Loss", ylabel="cross-entropy of the labels")


def draw_accuracies(axes: Axes, runs: Sequence[Learning]) -> None:
    """Accuracy on both splits, by epoch, the best epochs ringed."""
    from matplotlib.ticker import PercentFormatter

    _both_splits(axes, runs, "accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set(title="Accuracy", ylabel="faces named right")


def draw_gaps(axes: Axes, runs: Sequence[Learning]) -> None:
    """Validation loss less train loss, by epoch, with the epoch where it opens in the legend."""
    axes.axhline(0, color=QUIET, linewidth=1)
    for place, run in enumerate(runs):
        epoch, gap = run.curves.epochs["epoch"], run.curves.epochs["gap"]
        opens = run.gap_opens
        said = "does not open" if opens is None else f"opens at epoch {opens:.0f}"
        axes.plot(epoch, gap, marker="o", markersize=4, label=f"{run.name}: {said}", **_look(place))
        if opens is not None:
            axes.axvline(opens, color=_look(place)["color"], linestyle=":", linewidth=1.2)
    _by_epoch(axes, runs)
    axes.set(title="Gap: validation loss less train loss", ylabel="difference of loss")
    _legend(axes)


def draw_learning_rates(axes: Axes, runs: Sequence[Learning]) -> None:
    """The learning rate by step, over the epochs."""
    for place, run in enumerate(runs):
        rate = run.step_values("lr")
        marker = "o" if len(rate) == 1 else None
        axes.plot(run.step_epochs, rate, label=run.name, marker=marker, linewidth=1.8, **_look(place))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes.set_ylim(bottom=0)
    quiet(axes)
    axes.set(title="Learning rate", xlabel="epochs gone", ylabel="learning rate")
    _legend(axes)


def draw_gradient_norms(axes: Axes, runs: Sequence[Learning]) -> None:
    """The norm of the gradient before clipping, every step and the running median."""
    _by_step(axes, runs, "gradient_norm", 1)
    axes.set(title="Norm of the gradient, before clipping", ylabel="norm")


def draw_step_times(axes: Axes, runs: Sequence[Learning]) -> None:
    """Milliseconds of a step, every step and the running median."""
    _by_step(axes, runs, "seconds", 1000)
    axes.set(title="Time of a step", ylabel="ms")


def draw_preview(axes: Axes, preview: Preview, title: str) -> None:
    """Faces as they are in the data, and below each what the network got, with what it was to say."""
    for place, caption in enumerate(preview.captions):
        x, y = place % preview.columns * 1.06, -(place // preview.columns) * 2.5
        for below, faces in ((0, preview.before), (1.03, preview.after)):
            extent = (x, x + 1, y - below - 1, y - below)
            axes.imshow(faces[place], cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        text = caption.replace(", ", "\n")
        axes.text(x + 0.5, y - 2.06, text, ha="center", va="top", fontsize=9, linespacing=1.15)
    axes.set(xlim=(-0.03, preview.columns * 1.06 - 0.03), ylim=(-preview.rows * 2.5, 0.03), aspect="equal")
    axes.set_axis_off()
    axes.set_title(title)


def running_median(values: Floats, window: int) -> Floats:
    """The median of the `window` values around each, fewer at the ends, (N,)."""
    half = window // 2
    return np.array([np.median(values[max(i - half, 0) : i + half + 1]) for i in range(len(values))])


def _by_step(axes: Axes, runs: Sequence[Learning], column: str, factor: float) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    for place, run in enumerate(runs):
        values = run.step_values(column) * factor
        look = _look(place)
        colour = look["color"]
        axes.plot(run.step_epochs, values, ".", color=colour, markersize=2, alpha=0.18, rasterized=True)
        course = running_median(values, max(len(values) // _WINDOWS, 1))
        marker = "o" if len(values) == 1 else None
        axes.plot(run.step_epochs, course, label=run.name, marker=marker, linewidth=1.8, **look)
    quiet(axes)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,.6g}")
    axes.set_xlabel("epochs gone")
    _legend(axes)


def _both_splits(axes: Axes, runs: Sequence[Learning], name: str) -> None:
    for place, run in enumerate(runs):
        epochs, look = run.curves.epochs, _look(place)
        train, validation = epochs[f"train_{name}"], epochs[f"validation_{name}"]
        axes.plot(
            epochs["epoch"], train, linestyle="--", marker="s", markersize=3, color=look["color"], alpha=0.75
        )
        axes.plot(epochs["epoch"], validation, marker="o", markersize=4, label=run.name, **look)
        if run.best is not None:
            axes.plot(
                epochs["epoch"][run.best], validation[run.best], "o", markersize=11, fillstyle="none",
                color="black",
            )  # fmt: skip
    axes.plot([], [], color=QUIET, linestyle="--", marker="s", markersize=3, label="train, augmented")
    axes.plot([], [], color=QUIET, marker="o", markersize=4, label="validation")
    axes.plot([], [], "o", color="black", markersize=9, fillstyle="none", label="best epoch")
    _by_epoch(axes, runs)
    _legend(axes)


def _by_epoch(axes: Axes, runs: Sequence[Learning]) -> None:
    from matplotlib.ticker import MaxNLocator

    quiet(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, max(run.curves.epochs["epoch"][-1] for run in runs) + 0.5)
    axes.set_xlabel("epoch")


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))


def _look(place: int) -> dict[str, Any]:
    style = _STYLES[place // len(COLOURS) % len(_STYLES)]
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": style}


def _number(form: str) -> Callable[[Any], str]:
    """Formats a number; a dash for none."""
    return lambda value: "–" if value is None or value != value else form.format(value)
