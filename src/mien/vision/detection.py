"""What a face detector answers, and the one method that makes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# The rows of `Detection.keypoints`; right and left are the person's own.
KEYPOINTS = ("right eye", "left eye", "nose", "mouth", "right ear", "left ear")


@dataclass(frozen=True, eq=False)
class Detection:
    """A face found in a picture.

    Attributes:
        box: (x, y, width, height) in pixels of the picture, origin top left; it may reach beyond the picture.
        confidence: 0..1, the detector's own.
        keypoints: float32 (6, 2), x and y in pixels, in the order of `KEYPOINTS`; None where the
            detector gives none.
    """

    box: tuple[float, float, float, float]
    confidence: float
    keypoints: NDArray[np.float32] | None = None


class Detector(Protocol):
    """Anything that finds faces: one method."""

    def detect(self, image_rgb: NDArray[np.uint8]) -> list[Detection]:
        """The faces in a picture (H, W, 3), the surest first; an empty list where there are none."""
        ...
