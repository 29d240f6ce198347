"""The limits of a model, within which it was measured: put into its card."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.detection.blazeface import BlazeFace
from mien.emotions import FER2013
from mien.evaluation.quality import measure_quality
from mien.models.card import Card
from mien.models.onnx import OnnxClassifier

# The side of the faces that the steps of `mien.evaluation.quality` are made for.
_SIDE = 48


def with_quality(
    card: Card, onnx: Path, table: FaceTable, split: str, progress: Callable[[str], None]
) -> Card:
    """The card with `limits` and, under ``quality`` of the split's figures, the curves that they follow from.

    What is right is the default head's most probable emotion of the labels' seven. The same card where the
    faces are not FER2013's: 48 pixels wide, with its seven labels. `onnx` is the model, this card beside it.
    """
    faces = table.split(split)
    known = [i for i, label in enumerate(faces.labels) if label >= 0]
    if faces.pixels.shape[-1] != _SIDE or tuple(faces.classes) != FER2013 or not known:
        return card
    progress(f"measuring {card.name} on faces that are worse seen")
    classifier = OnnxClassifier(onnx, device="cpu")
    columns = [classifier.labels.index(name) for name in FER2013]
    labels = faces.labels[known]

    def right(crops: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.asarray(classifier.predict(crops)[:, columns].argmax(axis=1) == labels[rows])

    report = measure_quality(right, faces.pixels[known], BlazeFace(threads=1), np.random.default_rng(0))
    figures = {**card.figures[split], "quality": dataclasses.asdict(report)}
    return dataclasses.replace(card, limits=report.limits, figures={**card.figures, split: figures})
