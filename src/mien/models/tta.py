"""Test-time augmentation: probabilities averaged over several crops of a face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import UsageError
from mien.models.classifier import Classifier

# Where the crops lie: their share of the room to the left of a crop, and of that above it.
_PLACES = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True)
class TtaCrops:
    """Which views of a face are asked about: the middle and the four corners of it, and those mirrored.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section
    4.1. Each crop is enlarged to the side of the face (bicubic), so the network sees what it was trained for.

    Attributes:
        crop: the side of a crop as a share of the face's, above 0 and below 1.
        flip: whether each crop is asked about mirrored, too.

    Raises:
        UsageError: there is no such crop.
    """

    # 44 of 48 pixels: docs/evaluation.md.
    crop: float = 11 / 12
    flip: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.crop < 1:
            raise UsageError(f"crop must be a share above 0 and below 1, not {self.crop}.")

    def __len__(self) -> int:
        return len(_PLACES) * (2 if self.flip else 1)

    def to_dict(self) -> dict[str, Any]:
        """How many views, and which, as plain values for JSON."""
        return {
            "crops": len(self),
            "positions": len(_PLACES),
            "crop_share": round(self.crop, 4),
            "flip": self.flip,
        }

    def of(self, faces: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """The views of faces, uint8 (N, H, W), each so and contiguous: five crops, then those mirrored."""
        _, height, width = faces.shape
        crops = [np.empty_like(faces) for _ in _PLACES]
        for i, face in enumerate(faces):
            picture = Image.fromarray(face)
            for crop, place in zip(crops, _PLACES, strict=True):
                box = self._box(width, height, *place)
                crop[i] = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
        yield from crops
        if self.flip:
            yield from (np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops)

    def _box(self, width: int, height: int, across: float, down: float) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a crop in pixels."""
        left, top = across * (1 - self.crop) * width, down * (1 - self.crop) * height
        # Rounding must not carry an edge out of the face.
        right, bottom = min(left + self.crop * width, width), min(top + self.crop * height, height)
        return left, top, right, bottom


@dataclass(frozen=True)
class TtaClassifier:
    """A classifier that answers with the mean of another's probabilities over views of the face."""

    classifier: Classifier
    views: TtaCrops = field(default_factory=TtaCrops)

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
