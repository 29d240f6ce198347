"""What a clip's analysis keeps between two runs, as plain values for JSON, and back."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Detection


def plain_detection(found: Detection) -> list[Any]:
    """A detection as plain values; `detection_of` gives an equal one back."""
    return [found.box, found.confidence, None if found.keypoints is None else found.keypoints.tolist()]


def detection_of(values: list[Any]) -> Detection:
    """The detection of `plain_detection`."""
    box, confidence, keypoints = values
    return Detection(
        tuple(box), confidence, None if keypoints is None else np.array(keypoints, dtype=np.float32)
    )


def plain_pixels(pixels: NDArray[np.uint8]) -> list[Any]:
    """Pixels, uint8 of any shape, as plain values; `pixels_of` gives the same back."""
    return [pixels.shape, base64.b64encode(pixels.tobytes()).decode("ascii")]


def pixels_of(values: list[Any]) -> NDArray[np.uint8]:
    """The pixels of `plain_pixels`."""
    shape, text = values
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(shape)
