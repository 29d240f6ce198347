"""Boxes, points and detections, shared by every room that handles faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

# (x, y, width, height) in pixels of the image, origin top left.
Box: TypeAlias = tuple[float, float, float, float]
# (x, y) in pixels of the image.
Point: TypeAlias = tuple[float, float]

# The rows of `Detection.keypoints`; right and left are the person's own.
KEYPOINTS = ("right eye", "left eye", "nose", "mouth", "right ear", "left ear")


@dataclass(frozen=True, eq=False)
class Detection:
    """A face detected in an image.

    Attributes:
        box: (x, y, width, height) in pixels of the image, origin top left; it may reach beyond the image.
        confidence: 0..1, the detector's own.
        keypoints: float32 (6, 2), x and y in pixels, in the order of `KEYPOINTS`; None where the
            detector gives none.
    """

    box: Box
    confidence: float
    keypoints: NDArray[np.float32] | None = None


class Detector(Protocol):
    """Anything that finds faces: one method."""

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[Detection]:
        """The faces in an image (H, W, 3), the most confident first; an empty list where there are none."""
        ...


def intersection(a: Box, b: Box) -> float:
    """The area that two boxes share, in square pixels; 0 where they do not touch.

    >>> intersection((0, 0, 4, 4), (2, 2, 4, 4))
    4
    """
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return wide * tall if wide > 0 and tall > 0 else 0.0


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    shared = intersection(a, b)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared) if shared else 0.0
