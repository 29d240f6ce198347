"""How a head is turned: the canonical face fitted to the landmarks of a face."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# MediaPipe's canonical face: x to the person's left, y up, z to the front; in cm of a mean head.
CANONICAL = Path(__file__).parent / "canonical_face.obj"
# The landmarks of the fit: forehead, temples, nose, corners of the eyes and cheeks, which expressions move
# least. Of six choices these had the least error on rendered faces (benchmarks/movements.py).
RIGID = np.array([
    4, 6, 10, 33, 54, 67, 117, 119, 121, 127, 129, 132, 133, 136, 143, 147, 198, 205, 263, 284, 297, 346, 348,
    350, 356, 358, 361, 362, 365, 372, 376, 420,
])  # fmt: skip
# The network gives faces too flat: with its depths multiplied by this, the error of yaw on rendered faces
# falls from 2.2 to 1.4 degrees, and a photo from 45 degrees is measured at 43 in place of 40.
DEPTH = 1.2
# The distance between the outer corners of the canonical eyes (landmarks 33 and 263): the unit of lengths.
_RIGHT_CORNER, _LEFT_CORNER = 33, 263

Points = NDArray[np.float64]


@dataclass(frozen=True)
class HeadPose:
    """How a head is turned, in degrees; all 0 when it looks straight into the camera.

    The head is turned in this order: nodded by `pitch`, turned by `yaw`, and the image by `roll`. So an image
    that is turned changes `roll` alone.

    Attributes:
        yaw: to the person's left.
        pitch: downwards.
        roll: clockwise as seen.
    """

    yaw: float
    pitch: float
    roll: float


@cache
def canonical_face() -> Points:
    """The points (468, 3) of the canonical face; read-only."""
    points = np.array(_lines("v"), np.float64)
    points.setflags(write=False)
    return points


def canonical_triangles() -> NDArray[np.intp]:
    """The triangles (898, 3) of the face mesh: numbers of landmarks."""
    return np.array(_lines("f"), np.intp) - 1


def _lines(kind: str) -> list[list[str]]:
    """The values of the lines of one kind, in a file of the format OBJ."""
    lines = CANONICAL.read_text(encoding="utf-8").splitlines()
    return [line.split()[1:] for line in lines if line.startswith(f"{kind} ")]


@dataclass(frozen=True, eq=False)
class HeadFit:
    """The canonical face, fitted to the landmarks of a face.

    Attributes:
        rotation: (3, 3), see `pose_of`.
        scale: pixels per cm of the canonical face.
        front: (N, 3), the landmarks seen from the front: x to the person's left, y up, z to the front, from
            the middle of the rigid landmarks, in distances between the outer corners of the eyes of the
            fitted canonical face.
    """

    rotation: Points
    scale: float
    front: Points

    @property
    def pose(self) -> HeadPose:
        """How the head is turned."""
        return pose_of(self.rotation)


def fit_head(landmarks: NDArray[np.floating]) -> HeadFit:
    """The canonical face fitted to landmarks (N, 3), as `FaceMesh.landmarks` gives them, N at least 468.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
    """
    points = np.asarray(landmarks, np.float64) * (1, -1, -DEPTH)
    canonical = canonical_face()
    unit = float(np.linalg.norm(canonical[_LEFT_CORNER] - canonical[_RIGHT_CORNER]))
    centre = points[RIGID].mean(axis=0)
    seen, known = points[RIGID] - centre, canonical[RIGID] - canonical[RIGID].mean(axis=0)
    u, sizes, vt = np.linalg.svd(seen.T @ known)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((sizes * signs).sum() / (known**2).sum())
    return HeadFit(rotation, scale, (points - centre) @ rotation / (scale * unit))


def fit(landmarks: NDArray[np.floating]) -> tuple[HeadPose, Points]:
    """The pose of a face, and its landmarks seen from the front, as `HeadFit` has them."""
    found = fit_head(landmarks)
    return found.pose, found.front


def pose_of(rotation: Points) -> HeadPose:
    """The angles of a rotation matrix (3, 3) that takes the canonical face to the head as seen.

    >>> pose_of(rotation_of(HeadPose(20.0, -10.0, 5.0)))
    HeadPose(yaw=20.0, pitch=-10.0, roll=5.0)
    """
    yaw = math.asin(min(max(-float(rotation[2, 0]), -1.0), 1.0))
    pitch = math.atan2(rotation[2, 1], rotation[2, 2])
    roll = math.atan2(-rotation[1, 0], rotation[0, 0])
    return HeadPose(*(round(math.degrees(angle), 6) for angle in (yaw, pitch, roll)))


def rotation_of(pose: HeadPose) -> Points:
    """The rotation matrix (3, 3) of a pose, for points with x to the right, y up and z to the viewer."""
    cos_y, cos_p, cos_r = (math.cos(math.radians(angle)) for angle in (pose.yaw, pose.pitch, pose.roll))
    sin_y, sin_p, sin_r = (math.sin(math.radians(angle)) for angle in (pose.yaw, pose.pitch, pose.roll))
    turned = np.array([[cos_r, sin_r, 0], [-sin_r, cos_r, 0], [0, 0, 1]])
    aside = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    nodded = np.array([[1, 0, 0], [0, cos_p, -sin_p], [0, sin_p, cos_p]])
    return np.asarray(turned @ aside @ nodded)
