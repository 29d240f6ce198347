"""The loss at rising learning rates: which rate to train with, and a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.errors import TrainError
from mien.files import csv_text, write_atomically
from mien.plotting import COLOURS, QUIET, new_figure, quiet, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

# Weight of the past in the smoothed loss.
_MEMORY = 0.9
# Decades of the rate over which the slope of the loss is measured.
_WINDOW = 0.5
_FEWEST = 10


@dataclass(frozen=True, eq=False)
class LrRange:
    """N steps, each at a higher learning rate than the one before.

    Attributes:
        lrs: the rates, (N,).
        losses: of each step's batch before it was learned from, (N,).
        smoothed: the losses as a moving average, (N,).
        suggestion: the rate at which the loss falls fastest: a recipe's ``optimizer.lr``.
        lowest_loss: the rate at which the loss is lowest. At higher ones training becomes unstable.
    """

    lrs: Floats
    losses: Floats
    smoothed: Floats
    suggestion: float
    lowest_loss: float

    def __repr__(self) -> str:
        return f"<LrRange of {len(self.lrs)} steps: optimizer.lr={self.suggestion:.1e}>"

    @classmethod
    def of(cls, lrs: Sequence[float], losses: Sequence[float]) -> LrRange:
        """The range with its suggestion.

        Raises:
            TrainError: too few steps had a loss that is a number, or it fell at no rate.
        """
        finite = [math.isfinite(loss) for loss in losses]
        count = finite.index(False) if False in finite else len(losses)
        if count < _FEWEST:
            raise TrainError(
                f"the loss was no number after {count} steps, at the rate {lrs[max(count - 1, 0)]:.1e}. "
                "Begin lower, or inspect the faces: mien train --preview DIR."
            )
        rates, found = np.array(lrs[:count]), np.array(losses[:count])
        smooth = smoothed(found)
        lowest = int(smooth.argmin())
        return cls(rates, found, smooth, _steepest(rates, smooth, lowest), float(rates[lowest]))


def smoothed(losses: Sequence[float] | Floats) -> Floats:
    """The exponential moving average of losses, corrected for its beginning at 0 (Kingma & Ba 2015)."""
    average, result = 0.0, []
    for step, loss in enumerate(losses, 1):
        average = _MEMORY * average + (1 - _MEMORY) * loss
        result.append(average / (1 - _MEMORY**step))
    return np.array(result)


def _steepest(lrs: Floats, losses: Floats, lowest: int) -> float:
    """The middle of the half decade, up to the lowest loss, in which the loss falls most."""
    logs = np.log10(lrs)
    slopes: list[tuple[float, float]] = []
    for start in range(lowest + 1):
        end = int(np.searchsorted(logs, logs[start] + _WINDOW, side="right"))
        if end <= lowest + 1 and end - start > 2 and logs[end - 1] - logs[start] > 0.8 * _WINDOW:
            middle = float(10 ** logs[start:end].mean())
            slopes.append((float(np.polyfit(logs[start:end], losses[start:end], 1)[0]), middle))
    slope, rate = min(slopes, default=(0.0, 0.0))
    if slope >= 0:
        raise TrainError(
            f"the loss fell at no learning rate from {lrs[0]:.1e} to {lrs[-1]:.1e}. Begin lower, take more "
            "steps, or check the labels: mien data info."
        )
    return rate


def draw_lr_range(axes: Axes, found: LrRange) -> None:
    """The loss over the rate, with the suggestion and the rate of the lowest loss."""
    axes.plot(found.lrs, found.losses, color=QUIET, linewidth=1, alpha=0.6, label="each step")
    axes.plot(found.lrs, found.smoothed, color=COLOURS[0], linewidth=2, label="smoothed")
    for rate, text, style in (
        (found.suggestion, "falls fastest", "-"),
        (found.lowest_loss, "lowest", ":"),
    ):
        axes.axvline(rate, color=COLOURS[1], linewidth=1.5, linestyle=style, label=f"{text}: {rate:.1e}")
    axes.set_xscale("log")
    low, high = float(found.smoothed.min()), float(found.smoothed[0])
    axes.set_ylim(low - 0.15 * (high - low), high + 0.6 * (high - low))
    quiet(axes)
    axes.legend(frameon=False, fontsize=9)
    axes.set(title="Loss at rising learning rates", xlabel="learning rate", ylabel="training loss")


def write_lr_range(found: LrRange, folder: Path) -> list[Path]:
    """The figure (``lr-range.png`` and others) and ``lr-range.csv`` in a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = new_figure(7.5, 4.2)
    draw_lr_range(axes, found)
    rows = zip(found.lrs.tolist(), found.losses.tolist(), found.smoothed.tolist(), strict=True)
    table = folder / "lr-range.csv"
    write_atomically(table, csv_text(("lr", "loss", "smoothed"), rows))
    return [*save(figure, folder, "lr-range"), table]
