"""What a model said of every face of a table, so that several detectors can use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.models.classifier import Classifier, classify


@dataclass(frozen=True, eq=False)
class TablePredictions:
    """What a model said of each face of a table.

    Attributes:
        name: of the model.
        labels: names of the columns.
        probabilities: float32 (N, len(labels)), rows sum to 1.
    """

    name: str
    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]


def ask(
    classifier: Classifier, table: FaceTable, *, progress: Callable[[int], None] | None = None
) -> TablePredictions:
    """What the classifier says of every face; `progress` is told the number of faces after each batch.

    Raises:
        ModelError: the classifier gave no probabilities.
    """
    said = classify(classifier, table.pixels, progress=progress)
    return TablePredictions(classifier.name, tuple(classifier.labels), said)
