"""The faces on which a model is wrong: its most confident mistakes, and the most confused classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.emotions import VOTES
from mien.evaluation.mistakes import ConfusedPair, Mistake
from mien.evaluation.predictions import Predictions
from mien.plotting import draw_faces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 8


def draw_mistakes(axes: Axes, predictions: Predictions, found: Sequence[Mistake]) -> None:
    """The faces in rows, each with its label, the prediction and, with votes, the choice of most people."""
    votes = predictions.faces.votes
    captions = []
    for each in found:
        lines = [f"{each.predicted} {each.confidence:.0%}", f"label: {each.truth}"]
        if votes is not None:
            lines.append(_people(votes[each.index]))
        captions.append("\n".join(lines))
    faces = predictions.faces.pixels[[each.index for each in found]]
    draw_faces(axes, faces, captions, columns=COLUMNS, lines=2 if votes is None else 3)
    people = "" if votes is None else ", and the choice of most people"
    axes.set_title(f"The most confident mistakes: prediction and its probability, and the label{people}")


def draw_pairs(axes: Axes, predictions: Predictions, pairs: Sequence[ConfusedPair]) -> None:
    """One row per pair: how often it occurs, and its most confident examples."""
    most = max(len(pair.examples) for pair in pairs)
    below = 0.22
    for i, pair in enumerate(pairs):
        top = -i * (1 + below)
        axes.text(
            -0.08,
            top - 0.5,
            f"{pair.truth}\npredicted {pair.predicted}\n{pair.faces:,} faces, {pair.share:.0%}",
            ha="right",
            va="center",
            linespacing=1.35,
        )
        for j, each in enumerate(pair.examples):
            x = j * 1.08
            face = predictions.faces.pixels[each.index]
            axes.imshow(
                face, cmap="gray", vmin=0, vmax=255, extent=(x, x + 1, top - 1, top), interpolation="nearest"
            )
            axes.text(x + 0.5, top - 1.02, f"{each.confidence:.0%}", ha="center", va="top", fontsize=9)
    axes.set(xlim=(-1.75, most * 1.08 - 0.05), ylim=(-len(pairs) * (1 + below), 0.03), aspect="equal")
    axes.set_axis_off()
    axes.set_title("The most confused classes (share: of the faces with that label)")


def _people(votes: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> str:
    most = int(votes.argmax())
    return f"people: {VOTES[most]} {votes[most]}" if votes[most] else "people: nobody"
