"""Named movements of a face: numbers with a formula each, from its landmarks.

They are measured on the landmarks as seen from the front (`mien.movements.pose.fit`), so that they do not
change with the size of the face or, within limits, with the turn of the head. Lengths are in distances
between the outer corners of the eyes of the canonical face. Right and left are the person's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from mien.movements.pose import HeadFit, Points, fit_head

# Landmarks of the right and of the left eye: outer and inner corner, and three of each lid, in pairs.
_EYES = (((33, 133), (160, 159, 158), (144, 145, 153)), ((263, 362), (387, 386, 385), (373, 374, 380)))
_BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
_IRISES = (468, 473)
_LIP_CORNERS = (61, 291)
_UPPER_LIP, _LOWER_LIP, _UNDER_NOSE = 13, 14, 2
# From where on, in widths of the eye, the lids count as open and as closed. Of 94 faces in photos the
# quartiles are 0.23, 0.28 and 0.32; eyes that are seen to be closed have 0.08 to 0.14.
OPEN, CLOSED = 0.25, 0.12
# A blink of this much hides the iris, so that there is no gaze.
_HIDDEN = 0.8
# An eye is a ball of 24 mm (Bekerman et al. 2014, "Variations in eyeball diameters of the healthy adults"),
# the iris a disc of 11.7 mm on it (Rüfer et al. 2005, "White-to-white corneal diameter"), so its centre lies
# sqrt(12^2 - 5.85^2) = 10.5 mm in front of the ball's. In cm, as the canonical face is.
EYEBALL, IRIS_RADIUS = 1.2, 0.585
IRIS_DEPTH = math.sqrt(EYEBALL**2 - IRIS_RADIUS**2)
# How far behind the middle of the eye's corners the ball's centre lies: there the canonical face's lids touch
# the ball (landmarks 159 and 145: 0.74 and 0.84).
EYE_DEPTH = 0.79
# The irises are found that much higher than in the middle of the corners: on drawn eyes by 6 degrees, on five
# people who look into the camera by 5 to 10 (benchmarks/movements.py).
IRIS_UP = 0.12


@dataclass(frozen=True)
class Movements:
    """How a face is moved at one moment. What the words mean: docs/movements.md.

    Attributes:
        head_yaw, head_pitch, head_roll: degrees to the person's left, downwards, and clockwise as seen.
        eye_open_right, eye_open_left: distance of the lids, in widths of the eye.
        blink_right, blink_left: how far the lid is closed, 0 (open) to 1 (closed).
        mouth_open: distance of the inner edges of the lips.
        mouth_width: distance of the lip corners.
        lip_corner_right, lip_corner_left: height of the lip corner above the lower end of the nose; below 0,
            and more the more the corner is raised, as in a smile.
        brow_right, brow_left: height of the brow above the line between the corners of the eye.
        gaze_x, gaze_y: where the irises lie between the corners of the eyes, to the person's left, and
            downwards; in half widths of the eye, mean of the eyes that are open; None if none is.
        gaze_yaw, gaze_pitch: where the eyes look in the room, in degrees to the person's left, and
            downwards, as of the head: both 0 for a look into the camera; None if no eye is open.
        landmarks: float32 (478, 3), see `FaceMesh.landmarks`; None for results that were read from a log.
    """

    head_yaw: float
    head_pitch: float
    head_roll: float
    eye_open_right: float
    eye_open_left: float
    blink_right: float
    blink_left: float
    mouth_open: float
    mouth_width: float
    lip_corner_right: float
    lip_corner_left: float
    brow_right: float
    brow_left: float
    gaze_x: float | None
    gaze_y: float | None
    gaze_yaw: float | None = None
    gaze_pitch: float | None = None
    landmarks: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, float | None]:
        """The measures by name, without the landmarks: degrees to a tenth, the others to four decimals."""
        values = ((name, getattr(self, name)) for name in NAMES)
        return {name: None if v is None else round(v, 1 if name in _ANGLES else 4) for name, v in values}


_OF_EYES = "distance between the outer corners of the eyes"
# Name to what it is, its unit, and the least and the most that it can be; None where there is no limit.
MEASURES: dict[str, tuple[str, str, tuple[float | None, float | None]]] = {
    "head_yaw": ("how far the head is turned to the person's left", "degree", (-90, 90)),
    "head_pitch": ("how far the head is nodded downwards", "degree", (-180, 180)),
    "head_roll": ("how far the head is turned clockwise as seen", "degree", (-180, 180)),
    "eye_open_right": ("distance of the lids of the person's right eye", "width of the eye", (0, None)),
    "eye_open_left": ("distance of the lids of the person's left eye", "width of the eye", (0, None)),
    "blink_right": ("how far the lids of the right eye are closed: 0 open, 1 closed", "share", (0, 1)),
    "blink_left": ("how far the lids of the left eye are closed: 0 open, 1 closed", "share", (0, 1)),
    "mouth_open": ("distance of the inner edges of the lips", _OF_EYES, (0, None)),
    "mouth_width": ("distance of the corners of the lips", _OF_EYES, (0, None)),
    "lip_corner_right": (
        "height of the right corner of the lips above the end of the nose",
        _OF_EYES,
        (None, None),
    ),
    "lip_corner_left": (
        "height of the left corner of the lips above the end of the nose",
        _OF_EYES,
        (None, None),
    ),
    "brow_right": ("height of the right brow above the corners of the eye", _OF_EYES, (None, None)),
    "brow_left": ("height of the left brow above the corners of the eye", _OF_EYES, (None, None)),
    "gaze_x": ("how far the irises lie to the person's left", "half width of the eye", (None, None)),
    "gaze_y": ("how far the irises lie down", "half width of the eye", (None, None)),
    "gaze_yaw": ("how far to the person's left the eyes look, from the camera", "degree", (-90, 90)),
    "gaze_pitch": ("how far down the eyes look, from the camera", "degree", (-90, 90)),
}
NAMES = tuple(each.name for each in fields(Movements) if each.name != "landmarks")
_ANGLES = ("head_yaw", "head_pitch", "head_roll", "gaze_yaw", "gaze_pitch")


def movements_of(landmarks: NDArray[np.float32]) -> Movements:
    """The movements of a face with these landmarks, (478, 3) as `FaceMesh.landmarks` gives them."""
    head = fit_head(landmarks)
    pose, front = head.pose, head.front
    opened = [_opening(front, *eye) for eye in _EYES]
    blinks = [min(max((OPEN - each) / (OPEN - CLOSED), 0.0), 1.0) for each in opened]
    seen = [
        (iris, eye[0]) for iris, eye, blink in zip(_IRISES, _EYES, blinks, strict=True) if blink < _HIDDEN
    ]
    gaze_x, gaze_y = (
        np.mean([_gaze(front, *each) for each in seen], axis=0).tolist() if seen else (None, None)
    )
    gaze_yaw, gaze_pitch = _line_of_sight(landmarks, head, seen) if seen else (None, None)
    corners = [float(front[i, 1] - front[_UNDER_NOSE, 1]) for i in _LIP_CORNERS]
    brows = [
        float(front[list(brow), 1].mean() - front[list(eye[0]), 1].mean())
        for brow, eye in zip(_BROWS, _EYES, strict=True)
    ]
    return Movements(
        head_yaw=pose.yaw,
        head_pitch=pose.pitch,
        head_roll=pose.roll,
        eye_open_right=opened[0],
        eye_open_left=opened[1],
        blink_right=blinks[0],
        blink_left=blinks[1],
        mouth_open=_distance(front, _UPPER_LIP, _LOWER_LIP),
        mouth_width=_distance(front, *_LIP_CORNERS),
        lip_corner_right=corners[0],
        lip_corner_left=corners[1],
        brow_right=brows[0],
        brow_left=brows[1],
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        gaze_yaw=gaze_yaw,
        gaze_pitch=gaze_pitch,
        landmarks=landmarks,
    )


def _opening(front: Points, corners: tuple[int, int], upper: Sequence[int], lower: Sequence[int]) -> float:
    """The mean distance of the lids at three places, in widths of the eye.

    Source: the eye aspect ratio of Soukupová & Čech 2016, "Real-Time Eye Blink Detection using Facial
    Landmarks", with three pairs in place of two.
    """
    lids = np.mean([_distance(front, a, b) for a, b in zip(upper, lower, strict=True)])
    return float(lids / _distance(front, *corners))


def _gaze(front: Points, iris: int, corners: tuple[int, int]) -> tuple[float, float]:
    """The centre of the iris from the middle between the corners, to the left and downwards."""
    middle = front[list(corners)].mean(axis=0)
    half = _distance(front, *corners) / 2
    x, y, _ = (front[iris] - middle) / half
    return float(x), float(-y)


def _line_of_sight(
    landmarks: NDArray[np.float32], head: HeadFit, eyes: Sequence[tuple[int, tuple[int, int]]]
) -> tuple[float, float]:
    """The mean yaw and pitch of eyes, each an iris and the corners, in degrees, in the room.

    The centre of the eyeball is `EYE_DEPTH` behind the middle of the corners and `IRIS_UP` above it, as the
    head is turned; the iris is seen aside of it by `IRIS_DEPTH` times the sine of the angle.
    """
    behind = head.rotation @ (0.0, IRIS_UP, -EYE_DEPTH)
    aside = np.zeros(2)
    for iris, corners in eyes:
        middle = landmarks[list(corners), :2].mean(axis=0)
        aside += (landmarks[iris, :2] - middle) * (1, -1) / head.scale - behind[:2]
    x, y = aside / len(eyes) / IRIS_DEPTH
    length = math.hypot(x, y)
    x, y = (x, y) if length <= 1 else (x / length, y / length)
    forward = math.sqrt(max(1 - x * x - y * y, 0.0))
    return math.degrees(math.atan2(x, forward)), math.degrees(math.asin(-y))


def _distance(front: Points, a: int, b: int) -> float:
    """The distance of two landmarks as seen from the front."""
    return float(np.hypot(*(front[a, :2] - front[b, :2])))
