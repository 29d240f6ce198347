"""Crops are held against a scene that is known at every point, not only at the pixels of an image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.geometry import Detection
from mien.images.crop import brightened, crop_box, crop_face
from mien.models.card import Framing

FRAMING = Framing(x=0.07, y=0.16, width=0.86, height=0.86)


def face_in(x: float, y: float, side: float, keypoints: NDArray[np.float32] | None = None) -> Detection:
    """The detection whose crop is the square (x, y, side)."""
    box = (x + 0.07 * side, y + 0.16 * side, 0.86 * side, 0.86 * side)
    return Detection(box, 0.9, keypoints)


def scene(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth gray scene without symmetry; the face's square is 0..1 in both directions."""
    return 128 + 60 * np.sin(5 * u + 1) + 50 * np.cos(7 * v + 2 * u)


def picture(height: int, width: int, x: float, y: float, side: float, turn: float = 0.0) -> NDArray[np.uint8]:
    """The scene as a camera saw it, its square at (x, y, side), turned clockwise about the box's centre."""
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    centre_x, centre_y = x + 0.5 * side, y + 0.59 * side
    dx, dy = columns - centre_x, rows - centre_y
    right = math.cos(turn) * dx + math.sin(turn) * dy
    down = -math.sin(turn) * dx + math.cos(turn) * dy
    gray = scene(right / side + 0.5, down / side + 0.59)
    return np.repeat(gray.round().astype(np.uint8)[:, :, None], 3, axis=2)


def expected(size: int = 48) -> NDArray[np.float64]:
    v, u = (np.mgrid[0:size, 0:size] + 0.5) / size
    return scene(u, v)


def test_the_crop_s_square_holds_the_box_at_the_framing_s_fractions() -> None:
    x, y, side = crop_box(Detection((107.0, 216.0, 86.0, 86.0), 0.9), FRAMING)
    assert (x, y, side) == pytest.approx((100, 200, 100))


def test_a_box_of_another_shape_keeps_its_centre_and_its_area() -> None:
    x, y, side = crop_box(Detection((60.0, 80.0, 43.0, 172.0), 0.9), FRAMING)
    assert side == pytest.approx(100)
    assert (x + 0.5 * side, y + 0.59 * side) == pytest.approx((81.5, 166.0))


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 10.0), (0.0, 0.0, 10.0, -1.0)])
def test_a_box_without_area_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="an area"):
        crop_box(Detection(box, 0.9), FRAMING)


def test_at_its_own_size_a_face_comes_back_byte_for_byte() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 150), dtype=np.uint8)
    image = np.repeat(noise[:, :, None], 3, axis=2)
    assert (crop_face(image, face_in(31, 22, 48), FRAMING) == noise[22:70, 31:79]).all()


@pytest.mark.parametrize("side", [24.0, 47.3, 60.0, 100.0, 217.4, 400.0, 900.0])
def test_a_crop_shows_the_scene_at_its_own_pixels_from_any_size_and_place(side: float) -> None:
    x, y = 13.37, 21.75
    image = picture(int(side + 60), int(side + 50), x, y, side)
    crop = crop_face(image, face_in(x, y, side), FRAMING)
    assert crop.shape == (48, 48)
    assert crop.dtype == np.uint8
    assert np.abs(crop - expected()).max() < 2.0
    assert np.abs(crop - expected()).mean() < 0.5


@pytest.mark.parametrize("size", [32, 48, 64, 112])
def test_the_size_is_the_caller_s(size: int) -> None:
    crop = crop_face(picture(300, 300, 40, 30, 200), face_in(40, 30, 200), FRAMING, size=size)
    assert np.abs(crop - expected(size)).max() < 2.0


@pytest.mark.parametrize("corner", [(-20, -30), (150, 10), (-10, 120), (140, 130)])
def test_beyond_the_image_its_edge_is_repeated(corner: tuple[int, int]) -> None:
    x, y = corner
    image = np.random.default_rng(1).integers(0, 256, (180, 200, 3), dtype=np.uint8)
    padded = np.pad(image, ((100, 100), (100, 100), (0, 0)), mode="edge")
    inside = crop_face(padded, face_in(x + 100, y + 100, 96), FRAMING)
    crop = crop_face(image, face_in(x, y, 96), FRAMING)
    assert np.abs(crop.astype(int) - inside).max() <= 1  # the last bit of x + 100


@pytest.mark.parametrize("corner", [(-500, 40), (500, 40), (40, -500), (40, 500)])
def test_a_square_wholly_outside_shows_the_nearest_edge(corner: tuple[int, int]) -> None:
    image = np.full((100, 100, 3), 177, dtype=np.uint8)
    assert (crop_face(image, face_in(*corner, 60), FRAMING) == 177).all()


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("side", [150.0, 400.0, 1000.0])
def test_fine_texture_averages_out_instead_of_aliasing(side: float, align: bool) -> None:
    rows, columns = np.mgrid[0:1100, 0:1100]
    checks = np.where((rows + columns) % 2, 0, 255).astype(np.uint8)
    image = np.repeat(checks[:, :, None], 3, axis=2)
    level = np.zeros((6, 2), np.float32)
    level[1] = (10, 0)
    crop = crop_face(image, face_in(20, 20, side, level), FRAMING, align=align)
    assert abs(float(crop.mean()) - 127.5) < 2
    assert crop.std() < 5


def test_colour_becomes_luma_of_itu_r_601() -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    image[:] = (200, 100, 50)
    crop = crop_face(image, face_in(10, 10, 60), FRAMING)
    assert (crop == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)).all()


@pytest.mark.parametrize("degrees", [-35, -10, 0, 20, 90])
@pytest.mark.parametrize("side", [48.0, 130.0, 420.0])
def test_align_turns_the_face_until_the_eyes_are_level(degrees: int, side: float) -> None:
    turn = math.radians(degrees)
    x, y = side / 2 + 0.3, side / 2 + 0.6
    image = picture(int(side * 2), int(side * 2), x, y, side, turn)
    keypoints = np.zeros((6, 2), np.float32)
    keypoints[1] = (30 * math.cos(turn), 30 * math.sin(turn))
    crop = crop_face(image, face_in(x, y, side, keypoints), FRAMING, align=True)
    assert np.abs(crop - expected()).max() < 3.0
    assert np.abs(crop - expected()).mean() < 0.7


def test_align_without_key_points_changes_nothing() -> None:
    image = picture(200, 200, 30, 30, 120)
    detection = face_in(30, 30, 120)
    assert (crop_face(image, detection, FRAMING, align=True) == crop_face(image, detection, FRAMING)).all()


def test_views_and_read_only_arrays_are_taken() -> None:
    image = picture(200, 200, 30, 30, 120)
    wanted = crop_face(image, face_in(30, 30, 120), FRAMING)
    wide = np.repeat(image, 2, axis=1)[:, ::2]
    wide.flags.writeable = False
    assert (crop_face(wide, face_in(30, 30, 120), FRAMING) == wanted).all()


def test_a_dark_crop_is_made_brighter_and_others_stay() -> None:
    light = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    assert brightened(light) is light
    dark = (light * 0.12).round().astype(np.uint8)
    brighter = brightened(dark)
    assert np.percentile(brighter, 99) == pytest.approx(220, abs=3)
    # What was lost by rounding stays lost: a step of one gray value becomes one of seven.
    np.testing.assert_allclose(brighter, np.clip(light * (220 / np.percentile(light, 99)), 0, 255), atol=8)
    black = np.zeros((48, 48), np.uint8)
    assert brightened(black) is black
