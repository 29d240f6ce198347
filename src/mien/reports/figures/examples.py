"""A model at work: for each of its answers, the face on which it is surest and the one in the middle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.predictions import Predictions
from mien.plotting import draw_faces
from mien.reports.document import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def chosen(predictions: Predictions) -> dict[str, tuple[int, int]]:
    """For each answer that was given, the places of the face it is surest of, and of the middle one.

    The middle one is the lower median by confidence. Of equals the earlier face comes first.
    """
    top = predictions.probabilities.argmax(axis=1)
    found = {}
    for column, name in enumerate(predictions.classes):
        mine = np.flatnonzero(top == column)
        if len(mine):
            order = mine[np.argsort(-predictions.probabilities[mine, column], kind="stable")]
            found[name] = (int(order[0]), int(order[len(order) // 2]))
    return found


def examples_section(predictions: Predictions) -> Section:
    """The chosen faces, the surest answers above, the middle ones below."""
    found = chosen(predictions)
    missing = ", ".join(f"{n:,} {reason}" for reason, n in predictions.left_out.items())
    left_out = f" Left out here and below, because they cannot be judged: {missing}." if missing else ""
    return Section(
        "examples",
        "The model at work",
        f"Faces of {predictions.split} with the model's answer, how sure it is, and the label. They are "
        "chosen by rule, not for their beauty: above, the face on which each answer is surest; below, the "
        "one in the middle. The report showed pictures from its webcam here: mien live shows the same of "
        f"your own face, and mien predict of a photo.{left_out}",
        (1.55 * len(found), 4.2),
        lambda axes: draw(axes, predictions, found),
        [
            {"answer": name, "selected": which, **_facts(predictions, place)}
            for name, places in found.items()
            for which, place in zip(("surest", "middle"), places, strict=True)
        ],
        report="section 4.1",
        alt="Two rows of faces, one column for each answer of the model: " + ", ".join(found),
    )


def draw(axes: Axes, predictions: Predictions, found: Mapping[str, tuple[int, int]]) -> None:
    """The chosen faces in two rows."""
    places = np.array([pair[row] for row in (0, 1) for pair in found.values()], np.intp)
    draw_faces(
        axes,
        predictions.faces.pixels[places],
        [_caption(predictions, place) for place in places],
        columns=len(found),
        lines=2,
    )
    axes.set_title(f"What {predictions.model} says: above where it is surest, below the middle face")


def _caption(predictions: Predictions, place: int) -> str:
    facts = _facts(predictions, place)
    return f"{facts['says']} {facts['confidence']:.0%}\nlabel: {facts['label']}"


def _facts(predictions: Predictions, place: int | np.intp) -> dict[str, str | int | float]:
    row: NDArray[np.float32] = predictions.probabilities[place]
    return {
        "row": int(predictions.faces.rows[place]),
        "says": predictions.classes[int(row.argmax())],
        "confidence": round(float(row.max()), 4),
        "label": predictions.classes[int(predictions.truth[place])],
    }
