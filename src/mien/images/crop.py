"""The square around a face, with the same framing as the model's training faces."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import UsageError
from mien.geometry import Detection
from mien.models.card import Framing

# How faces lie in the images that the models were trained on: medians over 2,000 training images drawn at
# random, of which BlazeFace found a face in 1,963.
# Quartiles: x 0.020 to 0.122, y 0.100 to 0.218, width and height 0.780 to 0.933.
FER2013_FRAMING = Framing(
    x=0.071,
    y=0.163,
    width=0.858,
    height=0.858,
    source="BlazeFace on FER2013's Training split: "
    "python scripts/measure_framing.py fer2013.tar.gz --rows 2000 --seed 1",
)

# Above this factor whole blocks of pixels are averaged first, which costs a fraction and aliases nothing.
_REDUCING_GAP = 3.0
# Faces that are turned by more than this are turned back. Below it the model is as good without
# (benchmarks/turned.py).
_TURN_FROM = math.radians(20)
# If a square is turned, blocks are averaged until the square is at least this much finer than the crop.
_FINER = 2
# Squares are cut on a grid of this many lines per pixel, and turned in steps of one in this many radians. The
# last digits of a box differ from machine to machine; without a grid such a digit changes the rounding of
# pixels, then the boxes that are found in them, and in the end a probability by up to 0.02.
_GRID, _TURNS = 16, 4096
# If the brightest percent of a crop begins below the first, the crop is made brighter until it begins at the
# second. Of FER2013's faces, 99.5 % lie above 122.
_DARK_BELOW, _BRIGHT = 100, 220


def crop_box(detection: Detection, framing: Framing) -> tuple[float, float, float]:
    """The square (x, y, side) in which the detected box lies at the framing's fractions.

    In pixels of the image; it may reach beyond the image. If box and framing differ in shape, the centre
    is exact and the side is the geometric mean of the sides that width and height give.

    Raises:
        UsageError: the framing or the box has no area.
    """
    left, top, width, height = detection.box
    if min(width, height, framing.width, framing.height) <= 0:
        raise UsageError(f"a crop needs a box and a framing with an area, not {detection.box} and {framing}.")
    side = math.sqrt((width / framing.width) * (height / framing.height))
    x = left + width / 2 - (framing.x + framing.width / 2) * side
    y = top + height / 2 - (framing.y + framing.height / 2) * side
    return x, y, side


def crop_face(
    image_rgb: NDArray[np.uint8],
    detection: Detection,
    framing: Framing,
    *,
    size: int = 48,
    align: bool = False,
) -> NDArray[np.uint8]:
    """The face as the model's input, gray uint8 (size, size), luma as ITU-R 601.

    The square of `crop_box`, averaged down without aliasing or enlarged smoothly; outside the image the
    edge is repeated. If the eyes are more than 20 degrees from level, or with `align` in any case, the square
    is first turned about the face until they are level; a detection without key points is not turned.
    A dark crop is made brighter (`brightened`).

    Args:
        image_rgb: uint8 (H, W, 3).

    Raises:
        UsageError: the framing or the box has no area.
    """
    return brightened(face_square(image_rgb, detection, framing, size=size, align=align))


def face_square(
    image_rgb: NDArray[np.uint8],
    detection: Detection,
    framing: Framing,
    *,
    size: int = 48,
    align: bool = False,
) -> NDArray[np.uint8]:
    """The square of `crop_face` as light as it is in the image, gray uint8 (size, size).

    Raises:
        UsageError: the framing or the box has no area.
    """
    x, y, side = crop_box(detection, framing)
    angle = 0.0 if detection.keypoints is None else eye_angle(detection.keypoints)
    if angle and (align or abs(angle) > _TURN_FROM):
        return _turned_square(image_rgb, detection, (x, y, side), angle, size)
    return np.asarray(sample_square(image_rgb, x, y, side, size, gray=True))


def brightened(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A dark gray crop with every value multiplied so that its 99th percentile becomes 220; others unchanged.

    With an eighth of the light the model is right on 54 % of FER2013's faces, and on 70 % after this, as many
    as in full light (docs/benchmarks.md).
    """
    brightest = float(np.percentile(crop, 99))
    if not 0 < brightest < _DARK_BELOW:
        return crop
    brighter: NDArray[np.uint8] = np.clip(crop * (_BRIGHT / brightest), 0, 255).round().astype(np.uint8)
    return brighter


def eye_angle(keypoints: NDArray[np.float32]) -> float:
    """How far the line from the right eye to the left is turned, in radians, clockwise as seen."""
    dx, dy = (keypoints[1] - keypoints[0]).astype(float)
    return math.atan2(dy, dx)


def sample_square(
    image_rgb: NDArray[np.uint8], x: float, y: float, side: float, size: int, *, gray: bool = False
) -> Image.Image:
    """A square of an image, resized to (size, size); outside the image its edge is repeated.

    Corner and side are rounded to a sixteenth of a pixel. Source of the filter: Keys 1981, bicubic with
    a = -0.5, its support widened by the factor when shrinking, as Pillow does.
    """
    x, y, side = on_grid(x), on_grid(y), max(on_grid(side), 1 / _GRID)
    patch, x0, y0 = _patch(image_rgb, x, y, x + side, y + side, gray=gray)
    box = (x - x0, y - y0, min(x - x0 + side, patch.width), min(y - y0 + side, patch.height))
    return patch.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=_REDUCING_GAP)


def sample_turned(
    image_rgb: NDArray[np.uint8], centre: tuple[float, float], side: float, angle: float, size: int
) -> NDArray[np.uint8]:
    """A square of an image, turned by `angle` about its centre, uint8 (size, size, 3), bilinear.

    `angle` is in radians, clockwise as seen. Outside the image its edge is repeated. A square that is more
    than twice as fine as the result is averaged down first.
    """
    cos, sin = math.cos(angle), math.sin(angle)
    reach = (abs(cos) + abs(sin)) * side / 2
    x, y = centre
    patch, x0, y0 = _patch(image_rgb, x - reach, y - reach, x + reach, y + reach, gray=False)
    factor = max(1, int(side / size))
    patch = patch.reduce(factor)
    step = side / size
    corner = (x - (cos - sin) * side / 2, y - (sin + cos) * side / 2)
    affine = (cos * step, -sin * step, corner[0] - x0, sin * step, cos * step, corner[1] - y0)
    scaled = tuple(value / factor for value in affine)
    turned = patch.transform((size, size), Image.Transform.AFFINE, scaled, Image.Resampling.BILINEAR)
    return np.asarray(turned)


def _turned_square(
    image_rgb: NDArray[np.uint8],
    detection: Detection,
    square: tuple[float, float, float],
    angle: float,
    size: int,
) -> NDArray[np.uint8]:
    """The square turned by `angle` about the box's centre, gray uint8 (size, size)."""
    left, top, width, height = detection.box
    centre = (on_grid(left + width / 2), on_grid(top + height / 2))
    x, y, side = (on_grid(value) for value in square)
    side, angle = max(side, 1 / _GRID), round(angle * _TURNS) / _TURNS
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [
        (centre[0] + cos * dx - sin * dy, centre[1] + sin * dx + cos * dy)
        for dx in (x - centre[0], x + side - centre[0])
        for dy in (y - centre[1], y + side - centre[1])
    ]
    xs, ys = zip(*corners, strict=True)
    patch, x0, y0 = _patch(image_rgb, min(xs), min(ys), max(xs), max(ys), gray=True)
    factor = max(1, int(side / (size * _FINER)))
    patch = patch.reduce(factor)
    # At least one sample per pixel, averaged down afterwards: a turned image aliases like any other.
    samples = math.ceil(side / factor / size)
    fine = size * samples
    step = side / fine  # pixels of the image from one sample to the next
    # Sample (i, j) lies at the corner + i (cos, sin) + j (-sin, cos); Pillow adds the half pixel itself.
    affine = (cos * step, -sin * step, corners[0][0] - x0, sin * step, cos * step, corners[0][1] - y0)
    scaled = tuple(value / factor for value in affine)
    turned = patch.transform((fine, fine), Image.Transform.AFFINE, scaled, Image.Resampling.BICUBIC)
    return np.asarray(turned.reduce(samples))


def on_grid(value: float) -> float:
    """A position in pixels, rounded to the grid on which squares are cut: sixteenths."""
    return round(value * _GRID) / _GRID


def _patch(
    image_rgb: NDArray[np.uint8], left: float, top: float, right: float, bottom: float, *, gray: bool
) -> tuple[Image.Image, int, int]:
    """The part of an image around a rectangle, and the position of its corner.

    Two more pixels at each side, for the filter; edges are repeated where the image ends.
    """
    x0, y0 = math.floor(left) - 2, math.floor(top) - 2
    x1, y1 = math.ceil(right) + 2, math.ceil(bottom) + 2
    height, width = image_rgb.shape[:2]
    columns = slice(min(max(x0, 0), width - 1), max(min(x1, width), 1))
    rows = slice(min(max(y0, 0), height - 1), max(min(y1, height), 1))
    image = Image.fromarray(np.ascontiguousarray(image_rgb[rows, columns]))
    if gray:
        image = image.convert("L")
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        return image, x0, y0
    pads = [(rows.start - y0, y1 - rows.stop), (columns.start - x0, x1 - columns.stop)]
    pads = [(max(before, 0), max(after, 0)) for before, after in pads]
    pixels = np.asarray(image)
    return Image.fromarray(np.pad(pixels, [*pads, (0, 0)][: pixels.ndim], mode="edge")), x0, y0
