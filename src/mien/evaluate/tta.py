"""Test-time augmentation: the mean answer to several views of a face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluate.classifier import Classifier

# The centre and the four corners of what lies around it: down and right are positive.
_CORNERS = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True)
class Views:
    """Which views of a face are asked about.

    Attributes:
        shift_px: how far the four outer crops lie from the middle one, in pixels of the face; what a crop
            lacks at an edge is reflected there.
        flip: whether each crop is asked about mirrored, too.
    """

    # Of 1 to 4 pixels what did best on PublicTest with the shipped weights: docs/evaluation.md.
    shift_px: int = 2
    flip: bool = True

    def __post_init__(self) -> None:
        if self.shift_px < 1:
            raise UsageError(f"shift_px must be 1 or more, not {self.shift_px}.")

    def __len__(self) -> int:
        return len(_CORNERS) * (2 if self.flip else 1)

    def to_dict(self) -> dict[str, Any]:
        """How many views, and which, as plain values for JSON."""
        return {"views": len(self), "crops": len(_CORNERS), "shift_px": self.shift_px, "flip": self.flip}

    def of(self, faces: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """The views of faces (N, H, W), each of the same shape: the five crops, then those mirrored.

        Raises:
            UsageError: the faces are too small for the shift.
        """
        _, height, width = faces.shape
        if self.shift_px >= min(height, width):
            raise UsageError(f"faces of {width} x {height} pixels cannot be shifted by {self.shift_px}.")
        edge = (self.shift_px, self.shift_px)
        around = np.pad(faces, ((0, 0), edge, edge), mode="reflect")
        crops = []
        for down, right in _CORNERS:
            top, left = self.shift_px * (1 + down), self.shift_px * (1 + right)
            crops.append(around[:, top : top + height, left : left + width])
        yield from crops
        if self.flip:
            yield from (crop[:, :, ::-1] for crop in crops)


@dataclass(frozen=True)
class Augmented:
    """A classifier that answers with the mean of another's probabilities over views of the face.

    Raises:
        UsageError: from `predict`, where faces are too small for the views.
    """

    classifier: Classifier
    views: Views = Views()

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
            total += self.classifier.predict(np.ascontiguousarray(view))
        mean: NDArray[np.float32] = (total / len(self.views)).astype(np.float32)
        return mean
