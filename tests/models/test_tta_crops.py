"""Several views of a face: which there are, and what they show."""

from __future__ import annotations

import numpy as np
import pytest

from mien.errors import UsageError
from mien.models.tta import TtaCrops


@pytest.fixture
def faces() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (4, 48, 48), dtype=np.uint8)


def test_there_are_five_crops_and_the_same_mirrored(faces):
    views = list(TtaCrops().of(faces))
    assert len(views) == len(TtaCrops()) == 10
    assert {view.shape for view in views} == {faces.shape}
    for crop, mirrored in zip(views[:5], views[5:], strict=True):
        np.testing.assert_array_equal(mirrored, np.flip(crop, axis=2))


def test_the_crops_are_the_middle_and_the_corners_enlarged():
    """Quarters of one gray each: a corner of half the side shows one of them, the middle shows all."""
    face = np.kron(np.array([[10, 60], [120, 240]], np.uint8), np.ones((24, 24), np.uint8))
    middle, *corners = list(TtaCrops(crop=0.5, flip=False).of(face[None]))
    inner = slice(4, 44)  # away from the neighbours, which the enlarging reaches for
    assert [int(corner[0, inner, inner].mean()) for corner in corners] == [10, 60, 120, 240]
    assert middle[0, ::47, ::47].tolist() == [[10, 60], [120, 240]]


def test_a_crop_of_nearly_everything_is_nearly_the_face(faces):
    for view in TtaCrops(crop=0.9999, flip=False).of(faces):
        assert np.abs(view.astype(int) - faces).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(48, 48), (7, 49), (112, 96), (1, 1)])
def test_faces_of_any_size_have_views(height, width):
    faces = np.full((2, height, width), 77, np.uint8)
    assert all((view == faces).all() for view in TtaCrops().of(faces))


@pytest.mark.parametrize("crop", [0, 1, -0.5, 1.5, float("nan")])
def test_a_crop_that_is_no_part_of_the_face_is_refused(crop):
    with pytest.raises(UsageError, match="crop"):
        TtaCrops(crop=crop)
