"""What hides a part of a face, held against Pillow's drawing and NumPy's convolution."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from mien.runs.recipe_sections import AugmentRecipe
from mien.training.data.augment import draw, motion_blur
from mien.training.data.covers import EYE_X, HAND, MASK, SIDE, SUNGLASSES, Covers, cover, draw_covers

N, S = 400, 48
FINE = 31  # Pillow draws so many times larger, and the middle of each pixel is looked at


@pytest.fixture(scope="module")
def covers() -> Covers:
    return draw_covers(1.0, N, torch.Generator().manual_seed(3))


def row(covers: Covers, i: int) -> Covers:
    """The cover of one face."""
    return Covers(*(getattr(covers, name)[i : i + 1] for name in ("kind", "centre", "size", "angle", "tone")))


def drawn(covers: Covers, i: int) -> NDArray[np.bool_]:
    """Where Pillow paints the cover of face i, bool (S, S)."""
    side = S * FINE
    image = Image.new("1", (side, side))
    draw = ImageDraw.Draw(image)
    x, y = (side * covers.centre[i] - 0.5).tolist()  # Pillow counts from the middle of its first pixel
    width, height = (side * covers.size[i]).tolist()
    kind, angle = int(covers.kind[i]), float(covers.angle[i])
    if kind == MASK:
        draw.polygon([(x - width, y), (x + width, y), (x + height, side), (x - height, side)], fill=1)
    elif kind == HAND:
        draw.ellipse((x - width, y - height, x + width, y + height), fill=1)
    elif kind == SUNGLASSES:
        for lens in (x - EYE_X * side, x + EYE_X * side):
            draw.ellipse((lens - width, y - height, lens + width, y + height), fill=1)
    else:
        across, along = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        far = 4 * side
        corners = [(a * far, b * far) for a, b in ((0, -1), (1, -1), (1, 1), (0, 1))]
        draw.polygon(
            [(x + a * across[0] + b * along[0], y + a * across[1] + b * along[1]) for a, b in corners], fill=1
        )
    return np.asarray(image)[FINE // 2 :: FINE, FINE // 2 :: FINE]


@pytest.mark.parametrize("kind", [MASK, HAND, SUNGLASSES, SIDE])
def test_the_shapes_are_pillows(covers: Covers, kind: int) -> None:
    faces = torch.full((N, 1, S, S), -1.0)
    painted = (cover(faces, covers)[:, 0] >= 0).numpy()
    of_kind = np.flatnonzero(covers.kind.numpy() == kind)
    assert len(of_kind) > 30
    expected = np.stack([drawn(covers, i) for i in of_kind])
    assert expected.any((1, 2)).all()
    # Pillow rounds edges to its fine pixels: pixels with their middles on an edge may differ, at most a row.
    different = (painted[of_kind] != expected).sum((1, 2))
    assert different.max() <= S
    assert np.percentile(different, 90) <= 4


def test_the_tone_runs_from_the_upper_to_the_lower_edge(covers: Covers) -> None:
    faces = torch.full((N, 1, S, S), -1.0)
    painted = cover(faces, covers)[:, 0]
    rows = (np.arange(S) + 0.5) / S
    for i in range(50):
        upper, lower = covers.tone[i].tolist()
        expected = np.broadcast_to((upper + (lower - upper) * rows)[:, None], (S, S))
        inside = painted[i].numpy() >= 0
        np.testing.assert_allclose(painted[i].numpy()[inside], expected[inside], atol=1e-5)


def test_as_many_faces_are_covered_as_the_recipe_says_and_the_rest_stay() -> None:
    covers = draw_covers(0.3, 4000, torch.Generator().manual_seed(0))
    share = (covers.kind >= 0).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.03)
    kinds = torch.bincount(covers.kind[covers.kind >= 0], minlength=4) / (covers.kind >= 0).sum()
    np.testing.assert_allclose(kinds, [1 / 3, 1 / 3, 1 / 6, 1 / 6], atol=0.06)
    faces = torch.rand(4000, 1, 16, 16)
    covered = cover(faces, covers)
    assert torch.equal(covered[covers.kind < 0], faces[covers.kind < 0])
    assert covered.min() >= 0
    assert covered.max() <= 1


def test_covers_and_motion_leave_the_other_parameters_as_they_are() -> None:
    plain = AugmentRecipe(blur=1, noise=0.05, erase=0.5)
    more = replace(plain, cover=0.5, motion=5)
    one, other = (draw(spec, N, S, torch.Generator().manual_seed(5)) for spec in (plain, more))
    for name in ("crop", "angle", "shift", "scale", "flip", "gain", "offset", "erase", "blur", "noise"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert (other.motion[:, 0] > 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert other.motion[:, 0].max() <= 5


def line(length: float, angle: float, radius: int) -> NDArray[np.float64]:
    """The kernel of a motion, pixel by pixel."""
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    for y in range(-radius, radius + 1):
        for x in range(-radius, radius + 1):
            along = abs(x * math.cos(angle) + y * math.sin(angle))
            beside = abs(y * math.cos(angle) - x * math.sin(angle))
            kernel[y + radius, x + radius] = min(1, max(0, length / 2 + 0.5 - along)) * max(0, 1 - beside)
    return kernel / kernel.sum()


def test_motion_is_the_mean_along_a_line() -> None:
    faces = torch.rand(3, 1, S, S, generator=torch.Generator().manual_seed(2))
    motion = torch.tensor([[4.0, 0.0], [6.0, math.pi / 4], [5.0, 2.0]])
    blurred = motion_blur(faces, motion, radius=3)[:, 0].numpy()
    sideways = ndimage.correlate1d(
        faces[0, 0].numpy(), np.array([0.5, 1, 1, 1, 0.5]) / 4, axis=1, mode="mirror"
    )
    np.testing.assert_allclose(blurred[0], sideways, atol=1e-5)
    for i in (1, 2):
        expected = ndimage.correlate(faces[i, 0].numpy(), line(*motion[i].tolist(), 3), mode="mirror")
        np.testing.assert_allclose(blurred[i], expected, atol=1e-5)


def test_no_motion_changes_nothing() -> None:
    faces = torch.rand(2, 1, S, S)
    assert torch.equal(motion_blur(faces, torch.tensor([[0.0, 1.0], [0.0, 0.0]]), radius=4), faces)
