"""The people that `mien.data.synthetic.faces` draws, and the features of their faces under action units.

Face coordinates: the crop spans about -1 to 1 both ways, v grows downwards, the eyes lie at v = -0.2.
"""

# ruff: noqa: RUF009 (_between gives a dataclass field, not a default)

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from mien.data.synthetic.expression import UNITS, Floats


def _between(low: float, high: float) -> Any:
    return field(metadata={"range": (low, high)})


@dataclass(frozen=True, eq=False)
class People:
    """People, pose and camera: one value per face, (N,), uniform in a range."""

    roll: Floats = _between(-0.12, 0.12)  # tangent of half the angle: up to 14 degrees
    yaw: Floats = _between(-1.0, 1.0)
    scale: Floats = _between(0.88, 1.06)
    shift_x: Floats = _between(-0.08, 0.08)
    shift_y: Floats = _between(-0.08, 0.08)
    head_width: Floats = _between(0.72, 0.88)
    head_height: Floats = _between(0.98, 1.1)
    skin: Floats = _between(90, 225)
    hair: Floats = _between(8, 120)
    hair_gray: Floats = _between(0, 1)  # above 0.88 the hair is light
    hairline: Floats = _between(-0.95, -0.62)
    hair_length: Floats = _between(-0.4, 1.3)
    background: Floats = _between(10, 245)
    brow_y: Floats = _between(-0.48, -0.41)
    brow_thickness: Floats = _between(0.03, 0.06)
    brow_arch: Floats = _between(0.01, 0.06)
    eye_x: Floats = _between(0.33, 0.4)
    eye_half: Floats = _between(0.145, 0.185)
    eye_open: Floats = _between(0.06, 0.082)
    eye_slant: Floats = _between(-0.02, 0.025)
    iris: Floats = _between(15, 85)
    gaze: Floats = _between(-0.05, 0.05)
    nose_y: Floats = _between(0.16, 0.25)
    nose_half: Floats = _between(0.1, 0.15)
    mouth_y: Floats = _between(0.5, 0.58)
    mouth_half: Floats = _between(0.25, 0.32)
    mouth_rest: Floats = _between(-0.035, 0.035)  # corners of the mouth at rest: above 0 they hang
    mouth_lean: Floats = _between(-0.06, 0.06)
    lip: Floats = _between(0.03, 0.065)
    lip_tone: Floats = _between(0.62, 0.85)  # of the skin's
    beard: Floats = _between(0, 1)  # above 0.82 there is one
    glasses: Floats = _between(0, 1)  # above 0.9
    light_x: Floats = _between(-0.3, 0.3)
    light_y: Floats = _between(-0.25, 0.15)
    contrast: Floats = _between(0.7, 1.1)
    blur: Floats = _between(0.0, 0.7)
    noise: Floats = _between(2.0, 9.0)


def uniform(low: float, high: float, shape: int | tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Uniform random numbers from `low` to `high`.

    Not `Generator.uniform`: some processors fuse its sum, which then rounds differently.
    """
    return low + (high - low) * generator.random(shape)


def people(n: int, generator: np.random.Generator) -> People:
    """`n` people drawn at random."""
    ranges = {part.name: part.metadata["range"] for part in fields(People)}
    return People(**{name: uniform(low, high, n, generator) for name, (low, high) in ranges.items()})


@dataclass(frozen=True, eq=False)
class Features:
    """The positions of the features of each face, (N,) each, in face coordinates."""

    brow_inner: Floats
    brow_middle: Floats
    brow_outer: Floats
    brow_x: Floats
    lid_upper: Floats  # how far the upper lid is above the eye's centre, and the lower one below it
    lid_lower: Floats
    nose_y: Floats
    mouth_y: Floats  # the parting of the lips at the middle and at the corners
    mouth_corner: Floats
    mouth_half: Floats
    gap_upper: Floats  # how far the lips part, above and below the parting
    gap_lower: Floats
    lip: Floats
    chin: Floats


def features(who: People, units: Floats) -> Features:
    """The features of `who` under the action `units` (N, units)."""
    au = dict(zip(UNITS, units.T, strict=True))
    raised, lowered, wrinkled = au["inner_brow_raiser"], au["brow_lowerer"], au["nose_wrinkler"]
    smile, frown, jaw = au["lip_corner_puller"], au["lip_corner_depressor"], au["jaw_drop"]
    squint = 0.55 * au["cheek_raiser"] + 0.4 * au["lid_tightener"] + 0.45 * wrinkled
    middle = who.mouth_y + 0.03 * smile - 0.05 * frown - 0.03 * au["chin_raiser"] + 0.04 * jaw
    middle = middle - 0.05 * au["upper_lip_raiser"]
    tight = au["lip_tightener"]
    return Features(
        brow_inner=who.brow_y - 0.17 * raised + 0.17 * lowered + 0.09 * wrinkled,
        brow_middle=who.brow_y
        - who.brow_arch
        - 0.06 * raised
        - 0.15 * au["outer_brow_raiser"]
        + 0.09 * lowered
        + 0.06 * wrinkled,
        brow_outer=who.brow_y + 0.02 - 0.13 * au["outer_brow_raiser"] + 0.05 * raised - 0.03 * lowered,
        brow_x=who.eye_x - 0.05 * lowered - 0.02 * wrinkled,
        lid_upper=who.eye_open * np.maximum(0.3, 1 + 0.65 * au["upper_lid_raiser"] - 0.6 * squint),
        lid_lower=who.eye_open * np.maximum(0.1, 0.8 + 0.3 * au["upper_lid_raiser"] - 1.0 * squint),
        nose_y=who.nose_y - 0.05 * wrinkled,
        mouth_y=middle,
        mouth_corner=middle + who.mouth_rest - 0.22 * smile + 0.18 * frown + 0.05 * au["lip_stretcher"],
        mouth_half=who.mouth_half
        * (1 + 0.35 * smile + 0.42 * au["lip_stretcher"] - 0.3 * jaw - 0.12 * tight - 0.05 * frown),
        gap_upper=0.05 * au["lips_part"] + 0.12 * jaw + 0.1 * au["upper_lip_raiser"],
        gap_lower=0.13 * au["lips_part"] * (1 - 0.6 * smile) + 0.16 * smile * au["lips_part"] + 0.2 * jaw,
        lip=who.lip * np.maximum(0.15, 1 - 0.85 * tight + 0.35 * au["upper_lip_raiser"]),
        chin=0.14 * jaw,
    )
