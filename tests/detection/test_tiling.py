"""Scales and tiles cover every image and every size of face."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.detection.postprocess import COLUMNS
from mien.detection.tiling import (
    LARGEST_STEP,
    MARGIN,
    SMALLEST,
    TILE,
    letterbox,
    resized,
    scales,
    tiles,
    to_image,
)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (48, 48), (853, 480)])
def test_an_image_of_ordinary_size_is_searched_once(size: tuple[int, int]) -> None:
    assert scales(*size, 256, 40.0) == [256 / max(size)]


def test_without_a_smallest_face_every_image_is_searched_once() -> None:
    assert scales(12_000, 8_000, 256, None) == [256 / 12_000]


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.floats(1, 500))
def test_scales_go_up_to_the_one_that_shows_the_smallest_face(width: int, height: int, face: float) -> None:
    found = scales(width, height, 256, face)
    assert found[0] == 256 / max(width, height)
    if len(found) > 1:
        assert found[-1] == pytest.approx(min(SMALLEST / face, 1.0))
    assert all(1 < b / a <= LARGEST_STEP * 1.0001 for a, b in pairwise(found))


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(1, SMALLEST * MARGIN * LARGEST_STEP))
def test_every_face_lies_whole_in_a_tile(width: int, height: int, face: float) -> None:
    found = tiles(width, height, face)
    rng = np.random.default_rng(width * height)
    side = min(face, width, height)
    for x, y in rng.uniform(0, 1, (40, 2)) * (width - side, height - side):
        holders = [
            tile
            for tile in found
            if tile.left <= x and x + side <= tile.right and tile.top <= y and y + side <= tile.bottom
        ]
        assert holders
    assert all(t.right - t.left <= TILE and t.bottom - t.top <= TILE for t in found)
    assert {(t.left, t.top) for t in found if not any(t.inner[:2])} == {(0, 0)}
    assert max(t.right for t in found) == width
    assert max(t.bottom for t in found) == height


def test_a_tile_s_sides_are_multiples_of_32_padded_with_black() -> None:
    image = Image.new("RGB", (700, 45), (9, 9, 9))
    for tile in tiles(700, 45, 100):
        pixels = tile.pixels(image)
        assert pixels.shape[0] == 64
        assert pixels.shape[1] % 32 == 0
        assert (pixels[45:] == 0).all()
        assert (pixels[:45, : tile.right - tile.left] == 9).all()


def test_a_tile_leaves_to_its_neighbours_what_their_common_edge_cuts() -> None:
    first, *_ = tiles(1000, 300, 96)
    faces = np.zeros((3, COLUMNS), np.float32)
    faces[0, :4] = (-10, 40, 40, 90)  # over the picture's own edge: nobody else sees it
    faces[1, :4] = (first.right - 30, 40, first.right + 20, 90)
    faces[2, :4] = (100, 40, 150, 90)
    assert first.contains(faces).tolist() == [True, False, True]


@pytest.mark.parametrize("size", [(640, 480), (333, 777), (3, 900), (48, 48)])
def test_what_is_found_in_the_letterbox_comes_back_to_its_place(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (255, 255, 255))
    scale = 256 / max(size)
    canvas, x, y = letterbox(image, scale, 256)
    assert canvas.shape == (256, 256, 3)
    small = resized(image, scale)
    faces = np.zeros((1, COLUMNS), np.float32)
    faces[0, :4] = (x, y, x + small.width, y + small.height)
    assert to_image(faces, image, scale, (x, y))[0, :4] == pytest.approx((0, 0, *size))
