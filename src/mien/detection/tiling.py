"""How a detector of one scale covers an image of any size: scales, the letterbox, tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.detection.postprocess import FaceRows

# The smallest face, in pixels of the input, that the network finds reliably: of 96 faces from 60 px in
# images of 12 megapixels it found all at 0.3 (18 px), 95 at 0.2 (12 px).
SMALLEST = 12.0
# A finer scale keeps faces up to this many times the smallest that the coarser one sees.
MARGIN = 2.0
# Finer than that from one scale to the next, and faces between them would be too large for the tiles.
LARGEST_STEP = 6.0
# Input sides must be multiples of it.
STRIDE = 32
# Larger tiles waste less on overlap, smaller ones stay in the cache; 512 was the fastest of 256 to 1,024.
TILE = 512


def scales(width: int, height: int, side: int, min_face: float | None) -> list[float]:
    """The scales to search an image at: the one that fits it into `side`, then finer ones.

    Finer ones are there only if a face of `min_face` pixels would be too small in the first.
    """
    whole = side / max(width, height)
    if min_face is None:
        return [whole]
    finest = min(SMALLEST / min_face, 1.0)
    if finest <= whole:
        return [whole]
    steps = math.ceil(math.log(finest / whole, LARGEST_STEP))
    return [whole * (finest / whole) ** (step / steps) for step in range(steps + 1)]


def resized(image: Image.Image, scale: float) -> Image.Image:
    """The image at a scale, without aliasing, at least one pixel wide and high."""
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def letterbox(image: Image.Image, scale: float, side: int) -> tuple[NDArray[np.uint8], int, int]:
    """The image at a scale in the middle of a black square (side, side, 3), and its corner's x and y."""
    small = resized(image, scale)
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    x, y = (side - small.width) // 2, (side - small.height) // 2
    canvas[y : y + small.height, x : x + small.width] = np.asarray(small)
    return canvas, x, y


def to_image(faces: FaceRows, image: Image.Image, scale: float, corner: tuple[int, int]) -> FaceRows:
    """Faces detected at a scale and placed at a corner, in pixels of the image itself."""
    # The size that `resized` rounded to, not the scale that was requested.
    across = image.width / max(1, round(image.width * scale))
    down = image.height / max(1, round(image.height * scale))
    moved = faces.copy()
    moved[:, :16:2] = (faces[:, :16:2] - corner[0]) * across
    moved[:, 1:16:2] = (faces[:, 1:16:2] - corner[1]) * down
    return moved


@dataclass(frozen=True)
class Tile:
    """A part of an image that overlaps its neighbours.

    `inner`: which of its edges (left, top, right, bottom) have a neighbour beyond.
    """

    left: int
    top: int
    right: int
    bottom: int
    inner: tuple[bool, bool, bool, bool]

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Its pixels (H, W, 3), black at the right and below until both sides are multiples of 32."""
        part = np.asarray(image.crop((self.left, self.top, self.right, self.bottom)))
        height, width = part.shape[:2]
        if height % STRIDE == 0 and width % STRIDE == 0:
            return part
        canvas = np.zeros((_up(height), _up(width), 3), dtype=np.uint8)
        canvas[:height, :width] = part
        return canvas

    def contains(self, faces: FaceRows) -> NDArray[np.bool_]:
        """Which faces, in the tile's pixels, no inner edge cuts; a neighbour contains the others whole."""
        left, top, right, bottom = self.inner
        whole = np.ones(len(faces), dtype=np.bool_)
        if left:
            whole &= faces[:, 0] >= 0
        if top:
            whole &= faces[:, 1] >= 0
        if right:
            whole &= faces[:, 2] <= self.right - self.left
        if bottom:
            whole &= faces[:, 3] <= self.bottom - self.top
        return whole


def tiles(width: int, height: int, largest_face: float) -> list[Tile]:
    """Tiles that cover an image, such that every face up to a size lies whole in one of them."""
    overlap = _up(largest_face)
    columns, rows = _spans(width, overlap), _spans(height, overlap)
    return [
        Tile(left, top, right, bottom, (left > 0, top > 0, right < width, bottom < height))
        for top, bottom in rows
        for left, right in columns
    ]


def _spans(length: int, overlap: int) -> list[tuple[int, int]]:
    """Equal spans that cover a length, neighbours sharing at least `overlap`."""
    if length <= TILE:
        return [(0, length)]
    count = math.ceil((length - overlap) / (TILE - overlap))
    span = min(_up((length + (count - 1) * overlap) / count), TILE)
    starts = [round(i * (length - span) / (count - 1)) for i in range(count)]
    return [(start, start + span) for start in starts]


def _up(length: float) -> int:
    return math.ceil(length / STRIDE) * STRIDE
