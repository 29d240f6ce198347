"""The face mesh: 478 landmarks of a detected face, by MediaPipe's network with attention.

Source: Grishchenko et al. 2020, "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time"; converted
by scripts/convert_facemesh.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError
from mien.geometry import Detection
from mien.images.crop import eye_angle, sample_turned
from mien.models.registry import FOLDER, expected_hash
from mien.models.runtime import open_session, run_session

WEIGHTS = FOLDER / "facemesh.onnx"
# The side of the network's input, and how much larger than the face's box it is: as MediaPipe was trained.
SIDE, AROUND = 192, 1.5
# Below this presence there is no face, or none that the network can see, as in profile (MediaPipe's limit).
PRESENT = 0.5
# The landmarks of the face itself; behind them are five of each iris.
_FACE = 468
_RIGHT_CORNER, _LEFT_CORNER = 33, 263
# A second run from the first one's landmarks, where the first input lay so far off: its centre in sides, its
# turn in degrees, its side smaller or larger. Of 94 faces in photos these were 7; the landmarks of the others
# moved by less than 1.9 % of the eyes' distance, in the median 0.7 %.
_SHIFTED, _TURNED, _SCALED = 0.08, 10.0, (0.85, 1.25)


@dataclass(frozen=True)
class _Square:
    """The input's place in an image: centre and side in pixels, turn in radians, clockwise as seen."""

    centre: tuple[float, float]
    side: float
    angle: float

    def is_near(self, other: _Square) -> bool:
        """Whether the network sees about the same in both."""
        shift = math.dist(self.centre, other.centre) / self.side
        turn = abs(math.remainder(other.angle - self.angle, 2 * math.pi))
        least, most = _SCALED
        near = least < other.side / self.side < most and shift < _SHIFTED
        return near and math.degrees(turn) < _TURNED


class FaceMesh:
    """Finds the landmarks of detected faces, one face at a time, on one thread."""

    def __init__(self) -> None:
        self._session = open_session(WEIGHTS, threads=1, sha256=expected_hash(WEIGHTS))

    def landmarks(self, image_rgb: NDArray[np.uint8], detection: Detection) -> NDArray[np.float32] | None:
        """The landmarks (478, 3) of a face: x and y in pixels of the image, and depth in the same unit.

        Depth grows away from the camera, and is 0 near the middle of the head. Rows 0 to 467 are MediaPipe's
        mesh, 468 to 472 the person's right iris (its centre first), 473 to 477 the left one. None where the
        network sees no face, as in profile.

        Args:
            image_rgb: uint8 (H, W, 3).
            detection: the face; without key points it is taken for upright.

        Raises:
            ImageError: the array is not uint8 (H, W, 3).
        """
        if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
            raise ImageError(
                f"the face mesh takes RGB pixels, uint8 (H, W, 3), not {image_rgb.dtype} {image_rgb.shape}."
            )
        square = _square_of(detection)
        points, presence = self._run(image_rgb, square)
        better = _square_around(points)
        if presence < PRESENT or not square.is_near(better):
            points, presence = self._run(image_rgb, better)
        return points if presence >= PRESENT else None

    def _run(self, image_rgb: NDArray[np.uint8], square: _Square) -> tuple[NDArray[np.float32], float]:
        """The landmarks in pixels of the image, and the presence of a face, 0..1."""
        crop = sample_turned(image_rgb, square.centre, square.side, square.angle, SIDE)
        found, presence = run_session(
            self._session, ("landmarks", "presence"), {"image": crop[None]}, "the face mesh"
        )
        points: NDArray[np.float32] = found[0] * np.float32(square.side / SIDE)
        from_centre = points[:, :2] - np.float32(square.side / 2)
        points[:, :2] = from_centre @ _turn(square.angle) + np.array(square.centre, np.float32)
        return points, float(presence[0])


def _square_of(detection: Detection) -> _Square:
    left, top, width, height = detection.box
    angle = 0.0 if detection.keypoints is None else eye_angle(detection.keypoints)
    return _Square((left + width / 2, top + height / 2), max(width, height) * AROUND, angle)


def _square_around(points: NDArray[np.float32]) -> _Square:
    """The square that a face with these landmarks should lie in: its eyes level, the face in the middle."""
    dx, dy = (points[_LEFT_CORNER] - points[_RIGHT_CORNER])[:2].astype(float)
    angle = math.atan2(dy, dx)
    level = points[:_FACE, :2] @ _turn(-angle)
    low, high = level.min(axis=0), level.max(axis=0)
    x, y = ((low + high) / 2) @ _turn(angle)
    return _Square((float(x), float(y)), float((high - low).max()) * AROUND, angle)


def _turn(angle: float) -> NDArray[np.float32]:
    """What turns points (N, 2) of an image by an angle, clockwise as seen, from the right."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]], np.float32)
