"""Gray faces from people and their action units.

Everything is drawn for all faces at once, as soft-edged shapes over arrays (N, size, size), with nothing
but sums, products, quotients and square roots, so that a seed gives the same pixels on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.synthetic.expression import UNITS, Floats
from mien.data.synthetic.geometry import People, features

Canvas = NDArray[np.float32]

# Faces drawn at once: enough to hide numpy's overhead, few enough to stay in the cache.
_BATCH = 32


def render(who: People, units: Floats, size: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Gray faces uint8 (N, size, size) of the people `who` under the action `units` (N, units).

    `generator` is used for the grain only.
    """
    n = len(units)
    pixels = np.empty((n, size, size), dtype=np.uint8)
    for start in range(0, n, _BATCH):
        rows = slice(start, min(start + _BATCH, n))
        batch = People(**{name: column[rows] for name, column in vars(who).items()})
        drawing = _Drawing.set_up(batch, units[rows], size)
        _paint_head(drawing)
        _paint_creases(drawing)
        _paint_eyes(drawing)
        _paint_brows(drawing)
        _paint_nose(drawing)
        _paint_mouth(drawing)
        _paint_beard_and_glasses(drawing)
        pixels[rows] = _add_light_and_grain(drawing, generator)
    return pixels


class _FaceColumns:
    """The arrays (N,) of a dataclass as float32 (N, 1, 1), to compute with a canvas."""

    def __init__(self, source: object) -> None:
        for name, column in vars(source).items():
            setattr(self, name, column.astype(np.float32)[:, None, None])

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@dataclass(frozen=True, eq=False)
class _Drawing:
    """The canvas, its coordinates, and the faces that are drawn on it."""

    canvas: Canvas
    u: Canvas  # face coordinates of each pixel: of the head ...
    v: Canvas
    fu: Canvas  # ... and of the features, which a turn of the head shifts and foreshortens
    side: Canvas  # distance of the features from the middle of the face: left and right are drawn as one
    dot: Canvas  # one pixel in face coordinates, (N, 1, 1)
    who: Any
    at: Any
    au: dict[str, Canvas]

    @classmethod
    def set_up(cls, people: People, units: Floats, size: int) -> _Drawing:
        who, moved = _FaceColumns(people), _FaceColumns(features(people, units))
        line = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / size)) - np.float32(1)
        x, y = line[None, None, :] - who.shift_x, line[None, :, None] - who.shift_y
        square = who.roll * who.roll
        cosine, sine = (1 - square) / (1 + square), 2 * who.roll / (1 + square)
        u = (cosine * x + sine * y) / who.scale
        v = (cosine * y - sine * x) / who.scale
        fu = u - np.float32(0.14) * who.yaw
        fu = fu * (1 + np.float32(0.18) * who.yaw * fu)
        canvas = np.empty((len(units), size, size), dtype=np.float32)
        au = dict(zip(UNITS, units.astype(np.float32).T[:, :, None, None], strict=True))
        return cls(canvas, u, v, fu, np.abs(fu), np.float32(2 / size) / who.scale, who, moved, au)

    def cover(self, distance: Canvas) -> Canvas:
        """The share of each pixel that a shape covers, 0-1, from the signed distance to its edge."""
        covered: Canvas = np.clip(np.float32(0.5) - distance / self.dot, 0, 1)
        return covered

    def paint(self, cover: Canvas, tone: Any) -> None:
        """Paint `tone` on the canvas where `cover` is above 0."""
        self.canvas[...] += cover * (tone - self.canvas)

    def shade(self, cover: Canvas, share: Any) -> None:
        """Darken (or, below 0, lighten) the canvas by a `share` where `cover` is above 0."""
        self.canvas[...] *= 1 - cover * share


def _ellipse(u: Canvas, v: Canvas, half_u: Any, half_v: Any) -> Canvas:
    """The approximate signed distance to an ellipse around the origin."""
    a, b = u / half_u, v / half_v
    distance: Canvas = (np.sqrt(a * a + b * b) - 1) * half_u
    return distance


def _paint_head(drawing: _Drawing) -> None:
    who, u, v = drawing.who, drawing.u, drawing.v
    drawing.canvas[...] = who.background * (1 + np.float32(0.2) * u)
    hair = np.where(who.hair_gray > 0.88, np.float32(200), np.minimum(who.hair, who.skin * np.float32(0.75)))
    long_hair = np.maximum(np.abs(u) - who.head_width - np.float32(0.12), v - who.hair_length)
    cap = _ellipse(u, v + np.float32(0.2), who.head_width + np.float32(0.13), np.float32(1.05))
    drawing.paint(drawing.cover(np.minimum(cap, np.maximum(long_hair, -v - np.float32(0.2)))), hair)
    drawing.paint(drawing.cover(np.maximum(np.abs(u) - np.float32(0.45), -v)), who.skin * np.float32(0.72))
    drop = np.maximum(v, 0)
    # The jaw narrows the head below the ears, and a dropped jaw makes it longer.
    narrow = who.head_width * (1 - np.float32(0.16) * drop * drop)
    height = np.where(v > 0, who.head_height + drawing.at.chin, np.float32(1.05))
    fringe = who.hairline + np.float32(0.25) * drawing.fu * drawing.fu
    head = drawing.cover(np.maximum(_ellipse(u, v, narrow, height), fringe - v))
    drawing.paint(head, who.skin)
    # A rounded head is darker towards its rim.
    rim = u / who.head_width
    drawing.shade(head * rim * rim, np.float32(0.22))


def _paint_creases(drawing: _Drawing) -> None:
    au, at, who, side, v = drawing.au, drawing.at, drawing.who, drawing.side, drawing.v
    raised = (au["inner_brow_raiser"] + au["outer_brow_raiser"]) * np.float32(0.09)
    for crease_v in (-0.62, -0.72):
        line = np.maximum(np.abs(v - np.float32(crease_v) - 0.12 * side * side) - 0.012, side - 0.35)
        drawing.shade(drawing.cover(line), raised)
    frown = np.maximum(np.abs(side - np.float32(0.06)) - 0.014, np.abs(v + np.float32(0.37)) - 0.09)
    drawing.shade(drawing.cover(frown), 0.32 * au["brow_lowerer"] * (1 - 0.6 * au["inner_brow_raiser"]))
    for crease_v in (-0.2, -0.11, -0.02):
        line = np.abs(v - np.float32(crease_v) + 0.25 * side) - 0.014
        drawing.shade(drawing.cover(np.maximum(line, side - 0.13)), 0.34 * au["nose_wrinkler"])
    # From the wing of the nose to the corner of the mouth.
    t = (v - at.nose_y) / np.maximum(at.mouth_corner - at.nose_y + np.float32(0.1), np.float32(0.15))
    fold = who.nose_half + np.float32(0.05) + (at.mouth_half - who.nose_half + np.float32(0.04)) * t
    line = np.maximum(np.abs(side - fold) - 0.016, (np.abs(t - np.float32(0.45)) - 0.5) * 0.3)
    strength = 0.26 * au["lip_corner_puller"] + 0.34 * np.maximum(au["nose_wrinkler"], au["upper_lip_raiser"])
    drawing.shade(drawing.cover(line), np.minimum(strength, 0.4))
    cheek = _ellipse(side - np.float32(0.45), v - np.float32(0.17), np.float32(0.17), np.float32(0.13))
    drawing.shade(np.clip(-cheek / np.float32(0.12), 0, 1), -0.16 * au["cheek_raiser"])
    drawing.shade(drawing.cover(np.abs(cheek) - np.float32(0.012)) * (v < 0.17), 0.16 * au["cheek_raiser"])


def _paint_eyes(drawing: _Drawing) -> None:
    who, at, side, v = drawing.who, drawing.at, drawing.side, drawing.v
    e = (side - who.eye_x) / who.eye_half
    bow = np.maximum(1 - e * e, 0)
    middle = np.float32(-0.2) - who.eye_slant * e
    upper, lower = middle - at.lid_upper * bow, middle + at.lid_lower * bow
    within = drawing.cover((np.abs(e) - 1) * who.eye_half)
    socket = _ellipse(side - who.eye_x, v + np.float32(0.24), np.float32(0.26), np.float32(0.2))
    drawing.shade(np.clip(-socket / np.float32(0.25), 0, 1), np.float32(0.12))
    ball = within * drawing.cover(np.maximum(upper - v, v - lower))
    drawing.paint(ball, np.minimum(who.skin * np.float32(1.15) + 25, 250))
    across = drawing.fu - np.where(drawing.fu > 0, who.eye_x, -who.eye_x) - who.gaze
    down = v + np.float32(0.2)
    iris = np.sqrt(across * across + down * down)
    drawing.paint(ball * drawing.cover(iris - np.float32(0.075)), who.iris)
    drawing.paint(ball * drawing.cover(iris - np.float32(0.035)), np.float32(5))
    drawing.shade(within * drawing.cover(np.abs(v - upper) - np.float32(0.02)), np.float32(0.75))
    drawing.shade(within * drawing.cover(np.abs(v - lower) - np.float32(0.01)), np.float32(0.35))
    fold = np.abs(v - upper + np.float32(0.055)) - np.float32(0.008)
    drawing.shade(within * drawing.cover(fold), np.float32(0.18))


def _paint_brows(drawing: _Drawing) -> None:
    who, at = drawing.who, drawing.at
    t = (drawing.side - at.brow_x) / np.float32(0.24)
    height = (
        at.brow_inner * (t * (t - 1) * np.float32(0.5))
        + at.brow_middle * (1 - t * t)
        + at.brow_outer * (t * (t + 1) * np.float32(0.5))
    )
    thickness = who.brow_thickness * (1 - np.float32(0.3) * t)
    stroke = np.maximum(np.abs(drawing.v - height) - thickness, (np.abs(t) - 1) * np.float32(0.24))
    tone = np.minimum(np.minimum(who.hair, 90) * np.float32(0.8), who.skin * np.float32(0.5))
    drawing.paint(drawing.cover(stroke) * np.float32(0.92), tone)


def _paint_nose(drawing: _Drawing) -> None:
    who, at, side, v = drawing.who, drawing.at, drawing.side, drawing.v
    wing = 1 + np.float32(0.18) * drawing.au["nose_wrinkler"]
    nostril = _ellipse(
        side - who.nose_half * np.float32(0.55) * wing, v - at.nose_y, np.float32(0.045), np.float32(0.028)
    )
    drawing.shade(drawing.cover(nostril), np.float32(0.6))
    edge = np.abs(side - who.nose_half * wing) - np.float32(0.012)
    drawing.shade(
        drawing.cover(np.maximum(edge, np.abs(v - at.nose_y + np.float32(0.03)) - 0.06)), np.float32(0.25)
    )
    # The bridge casts its shadow away from the light.
    lit = np.where(who.light_x > 0, drawing.fu, -drawing.fu)
    bridge = np.maximum(np.abs(lit + np.float32(0.07)) - 0.025, np.abs(v + np.float32(0.05)) - 0.2)
    drawing.shade(drawing.cover(bridge), np.float32(0.5) * np.abs(who.light_x))


def _paint_mouth(drawing: _Drawing) -> None:
    who, at, au = drawing.who, drawing.at, drawing.au
    m = drawing.fu / at.mouth_half
    parting = at.mouth_y + (at.mouth_corner - at.mouth_y) * m * m + who.mouth_lean * drawing.fu
    flat = np.maximum(1 - m * m, 0)
    bow = np.sqrt(flat)
    within = drawing.cover((np.abs(m) - 1) * at.mouth_half)
    inner_top, inner_bottom = parting - at.gap_upper * bow, parting + at.gap_lower * bow
    top, bottom = inner_top - at.lip * bow, inner_bottom + at.lip * np.float32(1.25) * bow
    v = drawing.v
    drawing.paint(within * drawing.cover(np.maximum(top - v, v - bottom)), who.skin * who.lip_tone)
    inside = within * drawing.cover(np.maximum(inner_top - v, v - inner_bottom))
    drawing.paint(inside, np.float32(28))
    # Teeth are visible under a raised, pulled or stretched lip, hardly under a dropped jaw.
    bare = np.maximum(np.maximum(au["lip_corner_puller"], au["lip_stretcher"]), au["upper_lip_raiser"])
    teeth = np.float32(0.13) * bare + np.float32(0.03) * au["jaw_drop"]
    drawing.paint(
        inside * drawing.cover(v - inner_top - teeth * bow), np.minimum(who.skin * np.float32(1.2) + 30, 245)
    )
    closed = within * drawing.cover(np.abs(v - inner_top) - np.float32(0.014))
    drawing.shade(closed, np.float32(0.6))
    drawing.shade(within * drawing.cover(np.abs(v - inner_bottom) - np.float32(0.01)), np.float32(0.3))
    # The shadow under the lower lip deepens as the chin is raised.
    below = np.abs(v - bottom - np.float32(0.05)) - np.float32(0.025)
    chin = drawing.cover(np.maximum(below, drawing.side - 0.18))
    drawing.shade(chin, np.float32(0.1) + np.float32(0.18) * au["chin_raiser"])


def _paint_beard_and_glasses(drawing: _Drawing) -> None:
    who, at, v, side = drawing.who, drawing.at, drawing.v, drawing.side
    jaw = _ellipse(drawing.u, v, who.head_width, who.head_height + at.chin)
    mouth = _ellipse(drawing.fu, v - at.mouth_y, at.mouth_half + np.float32(0.06), np.float32(0.2))
    # From the sideburns down, dense at the jaw, thin towards the cheeks.
    cheek = np.float32(0.42) - np.float32(0.35) * drawing.fu * drawing.fu
    dense = np.clip((v - cheek) * np.float32(4), 0, 1)
    beard = drawing.cover(np.maximum(jaw, -mouth)) * dense * (who.beard > 0.82)
    drawing.shade(beard, np.float32(0.38))
    rim = np.abs(_ellipse(side - who.eye_x, v + np.float32(0.17), np.float32(0.25), np.float32(0.19)))
    bridge = np.maximum(np.abs(v + np.float32(0.22)) - 0.015, side - 0.12)
    frame = drawing.cover(np.minimum(rim - np.float32(0.014), bridge)) * (who.glasses > 0.9)
    drawing.shade(frame, np.float32(0.7))


def _add_light_and_grain(drawing: _Drawing, generator: np.random.Generator) -> NDArray[np.uint8]:
    """The drawing with light, blur and grain: uint8 (N, size, size)."""
    who, image = drawing.who, drawing.canvas
    image *= 1 + who.light_x * drawing.u + who.light_y * drawing.v
    image -= np.float32(128)
    image *= who.contrast
    image += np.float32(128)
    for axis in (1, 2):
        last = image.shape[axis] - 1
        before = np.take(image, np.maximum(np.arange(-1, last), 0), axis=axis)
        after = np.take(image, np.minimum(np.arange(1, last + 2), last), axis=axis)
        image += who.blur * (np.float32(0.25) * (before + after) - np.float32(0.5) * image)
    # The sum of two uniform numbers is close enough to grain, and the same on every machine.
    grain = generator.random(image.shape, dtype=np.float32) + generator.random(image.shape, dtype=np.float32)
    image += (grain - 1) * np.float32(2.45) * who.noise
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
