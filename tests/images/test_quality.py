"""Quality of a face: each number on images where it is known, and warnings by limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mien.geometry import Detection
from mien.images.quality import Quality, quality_of, sharpness_of, turn_of, warnings_of

LIMITS = {
    "size": (17.0, None),
    "sharpness": (0.2, None),
    "light": (0.06, 0.77),
    "cut_off": (None, 0.22),
    "yaw": (None, 60.0),
    "pitch": (None, 30.0),
}
FINE = Quality(size=60, sharpness=0.4, light=0.5, cut_off=0.0, roll=3.0, yaw=5.0, pitch=-4.0)


def texture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 48), dtype=np.uint8)


def points(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Key points of a head with the nose 0.42 in front of and 0.61 below the eyes, turned and projected."""
    head = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.61, 0.42]])
    a, c = map(math.radians, (yaw, roll))
    turned = head @ np.array([[math.cos(a), 0, -math.sin(a)], [0, 1, 0], [math.sin(a), 0, math.cos(a)]])
    turned[2, 1] = 0.61 + 0.42 * math.sin(math.radians(pitch))
    flat = turned[:, :2] @ np.array([[math.cos(c), math.sin(c)], [-math.sin(c), math.cos(c)]])
    return np.concatenate([100 + 40 * flat, np.zeros((3, 2))]).astype(np.float32)


def test_blur_lowers_sharpness_and_contrast_does_not_change_it() -> None:
    sharp = texture()
    values = [
        sharpness_of(np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(deviation))))
        for deviation in (0, 1, 2, 4)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(math.sqrt(2), abs=0.05)  # white noise
    assert sharpness_of((sharp // 2 + 60).astype(np.uint8)) == pytest.approx(values[0], abs=0.01)
    assert sharpness_of(np.full((48, 48), 90, np.uint8)) == 0


def test_size_light_and_what_is_cut_off() -> None:
    crop = np.full((48, 48), 51, np.uint8)
    inside = quality_of(Detection((10, 10, 20, 80), 0.9), crop, 200, 100)
    assert (inside.size, inside.light, inside.cut_off) == (40.0, 0.2, 0.0)
    assert (inside.roll, inside.yaw, inside.pitch) == (None, None, None)
    assert quality_of(Detection((-10, -10, 40, 40), 0.9), crop, 200, 100).cut_off == pytest.approx(
        1 - 30**2 / 40**2
    )
    assert quality_of(Detection((300, 0, 40, 40), 0.9), crop, 200, 100).cut_off == 1


@pytest.mark.parametrize("roll", [-50, 0, 20])
@pytest.mark.parametrize("yaw", [-60, -20, 0, 45])
def test_turns_of_a_known_head_are_found(yaw: float, roll: float) -> None:
    found = turn_of(points(yaw=yaw, roll=roll))
    assert found == pytest.approx((roll, yaw, 0), abs=0.5)


@pytest.mark.parametrize("pitch", [-40, 15, 50])
def test_a_lower_nose_is_a_head_that_looks_down(pitch: float) -> None:
    assert turn_of(points(pitch=pitch))[2] == pytest.approx(pitch, abs=0.5)


def test_a_mirrored_face_is_turned_to_the_other_side() -> None:
    mirrored = points(yaw=30, roll=10) * [-1, 1] + [200, 0]
    mirrored[[0, 1]] = mirrored[[1, 0]]
    assert turn_of(mirrored.astype(np.float32)) == pytest.approx((-10, -30, 0), abs=0.5)


def test_a_face_within_all_limits_has_no_warning() -> None:
    assert warnings_of(FINE, LIMITS) == ()
    assert warnings_of(FINE, {}) == ()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"size": 16.9}, "small"),
        ({"sharpness": 0.1}, "blurred"),
        ({"light": 0.05}, "dark"),
        ({"light": 0.8}, "bright"),
        ({"cut_off": 0.3}, "cut off"),
        ({"yaw": -61.0}, "turned"),
        ({"yaw": 61.0}, "turned"),
        ({"pitch": 31.0}, "looking down"),
        ({"pitch": -80.0}, None),
        ({"yaw": None}, None),
    ],
)
def test_what_is_beyond_a_limit_is_named(changes: dict[str, float], word: str | None) -> None:
    worse = Quality(**{**FINE.__dict__, **changes})
    assert warnings_of(worse, LIMITS) == (() if word is None else (word,))
