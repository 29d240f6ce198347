"""Faces drawn from a mesh: a photo's face on another shape, turned, with closed lids or other eyes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# Grays and colours of a drawn eye, and the radius of the pupil in radii of the ball.
_WHITE, _IRIS, _PUPIL, _PUPIL_RADIUS = (215, 215, 215), (90, 60, 40), (15, 12, 12), 1 / 6
_FINE = 4  # samples across each pixel of an eye


def draw_mesh(
    canvas: NDArray[np.uint8],
    points: NDArray[np.floating],
    triangles: NDArray[np.intp],
    photo: NDArray[np.uint8],
    places: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """The canvas with a mesh on it that has the photo as its skin, uint8 RGB (H, W, 3).

    Args:
        canvas: uint8 RGB (H, W, 3); it is not changed.
        points: (N, 3), x and y in pixels of the canvas, and depth; what is nearer (less) hides the rest.
        triangles: (T, 3), numbers of points.
        photo: uint8 RGB.
        places: (N, 2) or more columns, where each point lies in the photo.
    """
    drawn = canvas.copy()
    height, width = canvas.shape[:2]
    depths = np.full((height, width), np.inf)
    for corners in triangles:
        a, b, c = points[corners]
        left, top = np.maximum(np.floor(np.minimum(np.minimum(a, b), c)[:2] - 0.5), 0).astype(int)
        right, low = np.ceil(np.maximum(np.maximum(a, b), c)[:2] + 0.5).astype(int)
        window = (slice(top, min(low, height)), slice(left, min(right, width)))
        area = (b[1] - c[1]) * (a[0] - c[0]) + (c[0] - b[0]) * (a[1] - c[1])
        if area == 0 or depths[window].size == 0:
            continue
        rows, columns = np.mgrid[window]
        x, y = columns + 0.5 - c[0], rows + 0.5 - c[1]
        first = ((b[1] - c[1]) * x + (c[0] - b[0]) * y) / area
        second = ((c[1] - a[1]) * x + (a[0] - c[0]) * y) / area
        shares = np.stack([first, second, 1 - first - second], axis=-1)  # (h, w, 3): of the corners
        depth = shares @ points[corners, 2]
        seen = (shares >= -1e-6).all(axis=-1) & (depth < depths[window])
        depths[window][seen] = depth[seen]
        drawn[window][seen] = _sampled(photo, shares[seen] @ places[corners, :2])
    return drawn


def _sampled(photo: NDArray[np.uint8], places: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The photo's colours (N, 3) at places (N, 2), bilinear; beyond its edge those of the edge."""
    height, width = photo.shape[:2]
    x = np.clip(places[:, 0] - 0.5, 0, width - 1.001)
    y = np.clip(places[:, 1] - 0.5, 0, height - 1.001)
    columns, rows = x.astype(int), y.astype(int)
    across, down = (x - columns)[:, None], (y - rows)[:, None]
    upper = photo[rows, columns] * (1 - across) + photo[rows, columns + 1] * across
    lower = photo[rows + 1, columns] * (1 - across) + photo[rows + 1, columns + 1] * across
    return np.asarray((upper * (1 - down) + lower * down).round(), np.uint8)


def draw_eye(
    canvas: NDArray[np.uint8],
    lids: NDArray[np.floating],
    centre: tuple[float, float],
    radius: float,
    direction: NDArray[np.floating],
    iris: float,
) -> NDArray[np.uint8]:
    """The canvas with an eyeball between the lids, uint8 RGB (H, W, 3), seen from afar.

    Args:
        canvas: uint8 RGB (H, W, 3); it is not changed.
        lids: (N, 2), the outline of the eye in pixels of the canvas.
        centre: of the ball, in pixels.
        radius: of the ball, in pixels.
        direction: where the eye looks, (3,) of length 1: to the right, up, to the viewer.
        iris: radius of the iris, in radii of the ball.
    """
    left, top = np.floor(lids.min(axis=0)).astype(int)
    right, low = np.ceil(lids.max(axis=0)).astype(int)
    width, height = right - left, low - top
    outline = Image.new("L", (width * _FINE, height * _FINE))
    ImageDraw.Draw(outline).polygon(
        [tuple(place) for place in ((lids - (left, top)) * _FINE).tolist()], fill=255
    )
    rows, columns = (np.mgrid[: height * _FINE, : width * _FINE] + 0.5) / _FINE
    x, y = (columns + left - centre[0]) / radius, -(rows + top - centre[1]) / radius
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0.0))
    along = np.stack([x, y, z], axis=-1) @ direction
    colours = np.full((*x.shape, 3), _WHITE, np.float64)
    colours[along >= math.sqrt(1 - iris**2)] = _IRIS
    colours[along >= math.sqrt(1 - _PUPIL_RADIUS**2)] = _PUPIL
    colours *= (z**0.3)[..., None]  # darker towards the corners
    inside = np.asarray(outline, np.float64)[..., None] / 255

    def reduced(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values.reshape(height, _FINE, width, _FINE, -1).mean(axis=(1, 3)))

    drawn = canvas.copy()
    window = drawn[top:low, left:right]
    window[:] = (window * (1 - reduced(inside)) + reduced(colours * inside)).round()
    return drawn
