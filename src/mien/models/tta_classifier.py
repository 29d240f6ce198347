"""Test-time augmentation: the mean answer to several views of a face."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.models.classifier import Classifier
from mien.models.tta import Views


@dataclass(frozen=True)
class Augmented:
    """A classifier that answers with the mean of another's probabilities over views of the face."""

    classifier: Classifier
    views: Views = field(default_factory=Views)

    @property
    def name(self) -> str:
        """The name of the classifier that is asked."""
        return self.classifier.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `predict`, in order."""
        return self.classifier.labels

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, C) of gray faces, uint8 (N, H, W); rows sum to 1."""
        total = np.zeros((len(crops), len(self.labels)), np.float64)
        for view in self.views.of(crops):
            total += self.classifier.predict(view)
        mean: NDArray[np.float32] = (total / len(self.views)).astype(np.float32)
        return mean
