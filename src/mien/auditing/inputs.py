"""The predictions of a model for every face of a table, computed once for all detectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.models.classifier import Classifier, classify


@dataclass(frozen=True, eq=False)
class TablePredictions:
    """The predictions of a model for each face of a table.

    Attributes:
        name: of the model.
        labels: names of the columns.
        probabilities: float32 (N, len(labels)), rows sum to 1.
    """

    name: str
    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]


def predict_table(
    classifier: Classifier, table: FaceTable, *, progress: Callable[[int], None] | None = None
) -> TablePredictions:
    """The predictions for every face; `progress` is called with the number of faces in each batch.

    Raises:
        ModelError: the classifier gave no probabilities.
    """
    probabilities = classify(classifier, table.pixels, progress=progress)
    return TablePredictions(classifier.name, tuple(classifier.labels), probabilities)
