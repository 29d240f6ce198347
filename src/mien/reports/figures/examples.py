"""Examples of a model's predictions: for each predicted class the most confident face and the median one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.evaluation.predictions import Predictions
from mien.plotting import draw_faces

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def select_examples(predictions: Predictions) -> dict[str, tuple[int, int]]:
    """For each predicted class, the indices of its most confident face and of the one with median confidence.

    The median is the lower one. Of equals the earlier face comes first.
    """
    top = predictions.probabilities.argmax(axis=1)
    selected = {}
    for column, name in enumerate(predictions.classes):
        of_class = np.flatnonzero(top == column)
        if len(of_class):
            confidence = predictions.probabilities[of_class, column]
            order = of_class[np.argsort(-confidence, kind="stable")]
            selected[name] = (int(order[0]), int(order[len(order) // 2]))
    return selected


def draw(axes: Axes, predictions: Predictions, selected: Mapping[str, tuple[int, int]]) -> None:
    """The examples in two rows, each face with its prediction and its label."""
    indices = [pair[row] for row in (0, 1) for pair in selected.values()]
    shown = [facts(predictions, index) for index in indices]
    captions = [f"{each['predicted']} {each['confidence']:.0%}\nlabel: {each['label']}" for each in shown]
    draw_faces(axes, predictions.faces.pixels[indices], captions, columns=len(selected), lines=2)
    axes.set_title(f"Predictions of {predictions.model}: the most confident face above, the median below")


def facts(predictions: Predictions, index: int) -> dict[str, Any]:
    """The row, the predicted class, its confidence and the label of one face."""
    row = predictions.probabilities[index]
    return {
        "row": int(predictions.faces.rows[index]),
        "predicted": predictions.classes[int(row.argmax())],
        "confidence": round(float(row.max()), 4),
        "label": predictions.classes[int(predictions.truth[index])],
    }
