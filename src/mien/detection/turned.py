"""Faces in images that lie on their side or are upside down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.geometry import Detection, Detector
from mien.images.crop import sample_square

# An image with a detection this confident is upright. Of 22 upright photos with 44 faces all but one have
# such a face, so that only images without clear faces take the time of four searches.
CONFIDENT = 0.8
# A turned image counts if its best face is this confident, clearly more so than the upright image's, and is
# found again in a square of its own. There 30 of 30 upright faces of FER2013 between 0.7 and 0.85 had 0.74 or
# more, and the two false faces of turned images without people were gone.
_LEAST, _MORE = 0.7, 0.1
_SQUARE, _SQUARE_SIZE = 1.6, 256
# The longest side at which turned images are searched; at full size a large photo would take seconds more.
_LONGEST = 1024


def detect_turned(detector: Detector, image_rgb: NDArray[np.uint8]) -> list[Detection]:
    """The faces in an image uint8 (H, W, 3), also if it lies on its side or is upside down.

    An image without a confident face is searched again, turned by 90, 180 and 270 degrees. The turn with the
    most confident face wins; its boxes and key points are given in pixels of the image as it is.
    """
    upright = list(detector.detect(image_rgb))
    best, score = upright, max((each.confidence for each in upright), default=0.0)
    if score >= CONFIDENT:
        return upright
    least = max(_LEAST, score + _MORE)
    height, width = image_rgb.shape[:2]
    factor = max(1.0, max(height, width) / _LONGEST)
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = (
        image_rgb if factor == 1 else np.asarray(Image.fromarray(image_rgb).resize(size, reducing_gap=2.0))
    )
    for turns in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(small, turns))
        found = sorted(detector.detect(turned), key=lambda each: -each.confidence)
        if found and found[0].confidence >= least and _found_again(detector, turned, found[0]):
            least = found[0].confidence
            best = [_turned_back(each, turns, small.shape[1], small.shape[0], factor) for each in found]
    return best


def _found_again(detector: Detector, image_rgb: NDArray[np.uint8], detection: Detection) -> bool:
    """Whether the detector is confident of a face in the square around a detection, too."""
    left, top, width, height = detection.box
    side = _SQUARE * max(width, height)
    x, y = left + (width - side) / 2, top + (height - side) / 2
    square = np.ascontiguousarray(sample_square(image_rgb, x, y, side, _SQUARE_SIZE))
    return any(each.confidence >= _LEAST for each in detector.detect(square))


def _turned_back(detection: Detection, turns: int, width: int, height: int, factor: float) -> Detection:
    """A detection in an image turned counterclockwise by quarter turns, in pixels of the image before."""
    left, top, wide, tall = detection.box
    corners = _points(np.array([[left, top], [left + wide, top + tall]]), turns, width, height) * factor
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    points = detection.keypoints
    if points is not None:
        points = (_points(points, turns, width, height) * factor).astype(np.float32)
    return Detection((float(x0), float(y0), float(x1 - x0), float(y1 - y0)), detection.confidence, points)


def _points(points: NDArray[np.floating], turns: int, width: int, height: int) -> NDArray[np.floating]:
    """Points (N, 2) of an image turned counterclockwise, in the image of this size before its turns."""
    x, y = points[:, 0], points[:, 1]
    back = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[turns]
    return np.stack(back, axis=1)
