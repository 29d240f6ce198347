"""Test-time augmentation: probabilities averaged over several crops of a face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import UsageError
from mien.models.classifier import Classifier, Model

# Where the crops lie: their share of the room to the left of a crop, and of that above it.
_POSITIONS = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))


@dataclass(frozen=True)
class TtaCrops:
    """The crops of a face for test-time augmentation: its middle and four corners, and those mirrored.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section
    4.1. Each crop is enlarged to the side of the face (bicubic), so the network sees what it was trained for.

    Attributes:
        crop: the side of a crop as a share of the face's, above 0 and below 1.
        flip: whether each crop is also mirrored.

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
        return len(_POSITIONS) * (2 if self.flip else 1)

    def to_dict(self) -> dict[str, Any]:
        """How many crops, and which, as plain values for JSON."""
        return {
            "crops": len(self),
            "positions": len(_POSITIONS),
            "crop_share": round(self.crop, 4),
            "flip": self.flip,
        }

    def of(self, faces: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Five crops of the faces, then those mirrored, each uint8 (N, H, W) and contiguous."""
        _, height, width = faces.shape
        crops = [np.empty_like(faces) for _ in _POSITIONS]
        for i, face in enumerate(faces):
            image = Image.fromarray(face)
            for crop, position in zip(crops, _POSITIONS, strict=True):
                box = self._box(width, height, *position)
                crop[i] = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box))
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
class TtaModel:
    """A model that averages the probabilities of each head of another model over crops of the face."""

    model: Model
    crops: TtaCrops = field(default_factory=TtaCrops)

    @property
    def name(self) -> str:
        """The name of the other model."""
        return self.model.name

    @property
    def heads(self) -> Mapping[str, tuple[str, ...]]:
        """Name of each head to the labels of its columns."""
        return self.model.heads

    @property
    def temperatures(self) -> Mapping[str, float]:
        """The temperature of each head, in each of the averaged probabilities."""
        return self.model.temperatures

    def predict(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """By name of the head, probabilities (N, C) of gray faces, uint8 (N, H, W); rows sum to 1."""
        total = {name: np.zeros((len(crops), len(labels))) for name, labels in self.heads.items()}
        for crop in self.crops.of(crops):
            for name, probabilities in self.model.predict(crop).items():
                total[name] += probabilities
        return {name: (each / len(self.crops)).astype(np.float32) for name, each in total.items()}


@dataclass(frozen=True)
class TtaClassifier:
    """A classifier that averages another's probabilities over crops of the face."""

    classifier: Classifier
    crops: TtaCrops = field(default_factory=TtaCrops)

    @property
    def name(self) -> str:
        """The name of the other classifier."""
        return self.classifier.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `predict`, in order."""
        return self.classifier.labels

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, C) of gray faces, uint8 (N, H, W); rows sum to 1."""
        total = np.zeros((len(crops), len(self.labels)))
        for crop in self.crops.of(crops):
            total += self.classifier.predict(crop)
        return (total / len(self.crops)).astype(np.float32)
