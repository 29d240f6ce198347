"""The faces on which a model is wrong: its surest mistakes, and the classes that it takes for others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.emotions import VOTES
from mien.evaluation.mistakes import ConfusedPair, Mistake, confident_mistakes, confused_pairs
from mien.evaluation.predictions import Predictions
from mien.plotting import draw_faces
from mien.reports.document import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 8


def mistake_sections(p: Predictions) -> Iterator[Section]:
    surest = confident_mistakes(p)
    if not surest:
        return
    rows = -(-len(surest) // COLUMNS)
    votes = (
        ""
        if p.faces.votes is None
        else " Where most people gave the model's answer, the label may be what is wrong."
    )
    yield Section(
        "mistakes",
        "The surest mistakes",
        f"The wrong answers with the highest probability, pixel-identical faces once.{votes}",
        (12, 0.5 + 2.1 * rows),
        lambda axes: draw_mistakes(axes, p, surest),
        [_without_place(each) for each in surest],
    )
    pairs = confused_pairs(p)
    yield Section(
        "confused_pairs",
        "What is taken for what",
        "The pairs of label and wrong prediction with most faces, and the most confident examples of each "
        "with the probability of the prediction.",
        (12, 0.5 + 1.38 * len(pairs)),
        lambda axes: draw_pairs(axes, p, pairs),
        [
            {
                "label": pair.truth,
                "predicted": pair.predicted,
                "faces": pair.faces,
                "share": pair.share,
                "rows": ", ".join(str(each.row) for each in pair.examples),
            }
            for pair in pairs
        ],
    )


def draw_mistakes(axes: Axes, predictions: Predictions, found: Sequence[Mistake]) -> None:
    """The faces in rows, each with its label, the answer and, where there are votes, what people said."""
    votes = predictions.faces.votes
    captions = []
    for each in found:
        lines = [f"{each.predicted} {each.confidence:.0%}", f"label: {each.truth}"]
        if votes is not None:
            lines.append(_people(votes[each.index]))
        captions.append("\n".join(lines))
    faces = predictions.faces.pixels[[each.index for each in found]]
    draw_faces(axes, faces, captions, columns=COLUMNS, lines=2 if votes is None else 3)
    people = "" if votes is None else "; below, the answer that most people gave"
    axes.set_title(f"The most confident mistakes: prediction and its probability, and the label{people}")


def draw_pairs(axes: Axes, predictions: Predictions, pairs: Sequence[ConfusedPair]) -> None:
    """A row a pair: how often it occurs, and its surest examples."""
    most = max(len(pair.examples) for pair in pairs)
    below = 0.22
    for i, pair in enumerate(pairs):
        top = -i * (1 + below)
        axes.text(
            -0.08,
            top - 0.5,
            f"{pair.truth}\ntaken for {pair.predicted}\n{pair.faces:,} faces, {pair.share:.0%}",
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
    axes.set_title("The classes that are taken for another most often (share: of the faces of that label)")


def _people(votes: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> str:
    most = int(votes.argmax())
    return f"people: {VOTES[most]} {votes[most]}" if votes[most] else "people: nobody"


def _without_place(mistake: Mistake) -> dict[str, Any]:
    plain = dataclasses.asdict(mistake)
    del plain["index"]
    return plain
