"""How well a face can be seen: its size, sharpness, light, how much is cut off, and how it is turned.

Each number is simple, so that anybody can repeat it. What a number means for a model is measured: a model's
card has limits (`limits`), and `warnings_of` names what lies outside of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Detection, intersection

# How far the tip of the nose stands out in front of the eyes (of an average head), and how far BlazeFace sees
# it below them (median of the FER2013 faces that look straight ahead), both in distances of the eyes.
_NOSE_OUT, _NOSE_DOWN = 0.42, 0.61
# In words, what lies below the least and above the most.
_WORDS = {
    "size": ("small", ""),
    "sharpness": ("blurred", ""),
    "light": ("dark", "bright"),
    "cut_off": ("", "cut off"),
    "yaw": ("", "turned"),
    "pitch": ("looking up", "looking down"),
    "covered": ("", "covered"),
    "moved": ("", "moved"),
}


@dataclass(frozen=True)
class Quality:
    """How well one face can be seen.

    Attributes:
        size: side of the detector's box in pixels, the root of its area.
        sharpness: contrast between neighbouring pixels of the model's crop, as a share of the contrast of the
            whole crop.
        light: mean gray of the crop, 0..1, before a dark crop is made brighter.
        cut_off: share of the box that lies outside of the image, 0..1.
        roll: degrees by which the eyes are turned from level, clockwise as seen; None without key points.
        yaw, pitch: degrees to the person's left, and downwards, estimated from eyes and nose; rough. None
            without key points.
        covered: score, 0..1, that a part of the face is covered, by a mask, a hand, sunglasses or another
            object; None if it was not checked (`mien.detection.face_check`).
        moved: score, 0..1, that the face is smeared by motion; likewise.
    """

    size: float
    sharpness: float
    light: float
    cut_off: float
    roll: float | None = None
    yaw: float | None = None
    pitch: float | None = None
    covered: float | None = None
    moved: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON, rounded."""
        digits = {"size": 1, "roll": 1, "yaw": 1, "pitch": 1}
        return {
            name: None if value is None else round(value, digits.get(name, 3))
            for name, value in asdict(self).items()
        }


def quality_of(detection: Detection, crop: NDArray[np.uint8], width: int, height: int) -> Quality:
    """The quality of a face in an image of `width` x `height` pixels.

    `crop` is what the model sees, gray uint8 (S, S), before it is made brighter.
    """
    x, y, w, h = detection.box
    inside = intersection((x, y, w, h), (0.0, 0.0, float(width), float(height)))
    roll, yaw, pitch = turn_of(detection.keypoints)
    return Quality(
        size=math.sqrt(w * h),
        sharpness=sharpness_of(crop),
        light=float(crop.mean()) / 255,
        cut_off=1 - inside / (w * h),
        roll=roll,
        yaw=yaw,
        pitch=pitch,
    )


def sharpness_of(crop: NDArray[np.uint8]) -> float:
    """Root mean square of the differences of neighbouring pixels, over the standard deviation of all pixels.

    0 for a crop of one gray. White noise has 1.41, whatever its strength; a blurred image has little.
    """
    gray = crop.astype(np.float32)
    deviation = float(gray.std())
    if deviation == 0:
        return 0.0
    across, down = np.diff(gray, axis=1), np.diff(gray, axis=0)
    return math.sqrt((float((across**2).mean()) + float((down**2).mean())) / 2) / deviation


def turn_of(keypoints: NDArray[np.float32] | None) -> tuple[float | None, float | None, float | None]:
    """Roll, yaw and pitch in degrees from the key points (6, 2) of a detector; None without."""
    if keypoints is None:
        return None, None, None
    right, left, nose = (np.asarray(keypoints[i], float) for i in range(3))
    eyes = left - right
    distance = float(np.hypot(*eyes))
    if distance == 0:
        return None, None, None
    roll = math.degrees(math.atan2(eyes[1], eyes[0]))
    along, down = eyes / distance, np.array([-eyes[1], eyes[0]]) / distance
    offset = (nose - (right + left) / 2) / distance
    # A head that is turned shows its eyes closer together by the cosine, its nose to the side by the sine.
    yaw = math.degrees(math.atan(float(offset @ along) / _NOSE_OUT))
    straight = math.cos(math.radians(yaw))
    lower = (float(offset @ down) * straight - _NOSE_DOWN) / _NOSE_OUT
    pitch = math.degrees(math.asin(min(max(lower, -1), 1)))
    return roll, yaw, pitch


def warnings_of(quality: Quality, limits: Mapping[str, tuple[float | None, float | None]]) -> tuple[str, ...]:
    """What lies outside of the limits, in words; limits are by name the least and the most, or None."""
    found = []
    for name, (least, most) in limits.items():
        value = getattr(quality, name)
        if value is None:
            continue
        if name == "yaw":
            value = abs(value)
        too_low, too_high = _WORDS[name]
        if least is not None and value < least:
            found.append(too_low)
        elif most is not None and value > most:
            found.append(too_high)
    return tuple(found)
