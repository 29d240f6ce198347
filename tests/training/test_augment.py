"""Each transform held against torchvision's on the same parameters, and all of them against PIL's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomAffine, RandomCrop
from torchvision.transforms import functional as TF

from mien.runs.recipe_sections import AugmentRecipe
from mien.training.data.augment import (
    AugmentParameters,
    apply,
    augment,
    autocontrast,
    blur,
    brightness_contrast,
    draw,
    erase,
    resample,
)

REPORT = AugmentRecipe()
N, S = 64, 48


@pytest.fixture(scope="module")
def noise() -> Tensor:
    """Faces of pure noise: no two neighbours agree, so a map that is off by a pixel cannot hide."""
    return torch.randint(0, 256, (N, S, S), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def x(noise: Tensor) -> Tensor:
    return noise[:, None].float() / 255


def still(n: int = N, crop: int = 0) -> AugmentParameters:
    """Parameters that change nothing, for a recipe with this much crop padding."""
    zero = torch.zeros(n)
    return AugmentParameters(
        crop=torch.full((n, 2), float(crop)),
        angle=zero,
        shift=torch.zeros(n, 2),
        scale=torch.ones(n),
        flip=zero.bool(),
        autocontrast=zero.bool(),
        gain=torch.ones(n),
        offset=zero,
        erase=torch.zeros(n, 4),
        blur=zero,
        noise=torch.zeros(n, 1, 1, 1),
        motion=torch.zeros(n, 2),
        covers=None,
    )


def drawn(spec: AugmentRecipe, seed: int = 0) -> AugmentParameters:
    return draw(spec, N, S, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("fill", ["zero", "reflect"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("padding", [0, 2])
def test_nothing_asked_for_changes_nothing(x: Tensor, fill: str, interpolation: str, padding: int) -> None:
    spec = AugmentRecipe(crop_padding=padding, fill=fill, interpolation=interpolation)  # type: ignore[arg-type]
    torch.testing.assert_close(resample(x, still(crop=padding), spec), x, atol=2e-5, rtol=0)


@pytest.mark.parametrize("fill", ["zero", "reflect"])
@pytest.mark.parametrize("padding", [1, 2, 7])
def test_crop_is_torchvisions_reflect_padded_crop_exactly(x: Tensor, fill: str, padding: int) -> None:
    spec = replace(REPORT, crop_padding=padding, fill=fill)  # type: ignore[arg-type]
    crop = drawn(spec).crop
    ours = resample(x, replace(still(), crop=crop), spec)
    for i, (left, top) in enumerate(crop.int().tolist()):
        padded = TF.pad(x[i], [padding], padding_mode="reflect")
        assert torch.equal(ours[i], TF.crop(padded, top, left, S, S))


def test_flip_is_torchvisions_exactly(x: Tensor) -> None:
    flip = torch.arange(N) % 2 == 0
    ours = resample(x, replace(still(crop=2), flip=flip), REPORT)
    theirs = torch.stack([TF.hflip(face) if f else face for face, f in zip(x, flip, strict=True)])
    assert torch.equal(ours, theirs)


def affine(face: Tensor, d: AugmentParameters, i: int, interpolation: InterpolationMode) -> Tensor:
    shift = d.shift[i].int().tolist()
    return TF.affine(
        face, d.angle[i].item(), shift, d.scale[i].item(), [0.0, 0.0], interpolation=interpolation
    )


def test_whole_pixel_shifts_are_torchvisions_exactly(x: Tensor) -> None:
    d = replace(still(crop=2), shift=drawn(REPORT).shift)
    ours = resample(x, d, REPORT)
    for i in range(N):
        assert torch.equal(ours[i], affine(x[i], d, i, InterpolationMode.NEAREST))


def test_nearest_affine_is_torchvisions(x: Tensor) -> None:
    """All but the few pixels that lie within rounding of the line between two sources."""
    spec = replace(REPORT, degrees=30, scale=(0.7, 1.4))
    d = replace(drawn(spec), crop=torch.full((N, 2), 2.0), flip=torch.zeros(N).bool())
    ours = resample(x, d, spec)
    theirs = torch.stack([affine(x[i], d, i, InterpolationMode.NEAREST) for i in range(N)])
    assert (ours != theirs).float().mean() < 1e-4


def test_bilinear_affine_is_torchvisions(x: Tensor) -> None:
    spec = replace(REPORT, degrees=30, scale=(0.7, 1.4), interpolation="bilinear")
    d = replace(drawn(spec), crop=torch.full((N, 2), 2.0), flip=torch.zeros(N).bool())
    theirs = torch.stack([affine(x[i], d, i, InterpolationMode.BILINEAR) for i in range(N)])
    torch.testing.assert_close(resample(x, d, spec), theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [31, 48, 64])
def test_the_composed_map_is_crop_then_affine_then_flip(interpolation: str, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    x = torch.rand(N, 1, size, size, generator=generator)
    spec = replace(REPORT, scale=(0.8, 1.2), interpolation=interpolation)  # type: ignore[arg-type]
    d = draw(spec, N, size, generator)
    ours = resample(x, d, spec)
    theirs = []
    for i, (left, top) in enumerate(d.crop.int().tolist()):
        face = TF.crop(TF.pad(x[i], [2], padding_mode="reflect"), top, left, size, size)
        face = affine(face, d, i, InterpolationMode(interpolation))
        theirs.append(TF.hflip(face) if d.flip[i] else face)
    differ = (ours - torch.stack(theirs)).abs() > 2e-5
    assert differ.float().mean() < 1e-4


def test_reflect_fill_is_the_picture_mirrored_without_end(x: Tensor) -> None:
    """Held against torchvision's affine of a picture that was mirrored all around beforehand."""
    spec = replace(REPORT, fill="reflect", interpolation="bilinear", crop_padding=0)
    d = replace(drawn(spec), flip=torch.zeros(N).bool(), crop=torch.zeros(N, 2))
    ours = resample(x, d, spec)
    for i in range(N):
        wide = affine(TF.pad(x[i], [24], padding_mode="reflect"), d, i, InterpolationMode.BILINEAR)
        torch.testing.assert_close(ours[i], wide[:, 24:-24, 24:-24], atol=5e-5, rtol=0)


def test_autocontrast_is_torchvisions(x: Tensor) -> None:
    dull = x * torch.linspace(0.05, 0.9, N)[:, None, None, None] + 0.05
    dull[5] = 0.3  # a face of one gray stays as it is
    chosen = torch.arange(N) % 3 != 0
    ours = autocontrast(dull, chosen)
    for i in range(N):
        expected = TF.autocontrast(dull[i]) if chosen[i] else dull[i]
        torch.testing.assert_close(ours[i], expected, atol=1e-6, rtol=0)


def test_brightness_and_contrast_are_torchvisions(x: Tensor) -> None:
    """Contrast about the mean is torchvision's; brightness is added here and multiplied there."""
    gain, zero = torch.linspace(0.3, 1.8, N), torch.zeros(N)
    ours = brightness_contrast(x, gain, zero)
    for i in range(N):
        expected = TF.adjust_contrast(x[i], gain[i].item())
        torch.testing.assert_close(ours[i], expected, atol=1e-6, rtol=0)
    brighter = brightness_contrast(x, torch.ones(N), torch.full((N,), 0.2))
    torch.testing.assert_close(brighter, (x + 0.2).clamp(0, 1), atol=1e-6, rtol=0)


def test_erase_is_torchvisions_with_the_faces_mean(x: Tensor) -> None:
    boxes = drawn(replace(REPORT, erase=0.7)).erase
    ours = erase(x, boxes)
    for i, (left, top, right, bottom) in enumerate(boxes.int().tolist()):
        expected = (
            TF.erase(x[i], top, left, bottom - top, right - left, x[i].mean()) if right > left else x[i]
        )
        torch.testing.assert_close(ours[i], expected, atol=1e-6, rtol=0)
        outside = torch.ones(S, S, dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert torch.equal(ours[i, 0][outside], x[i, 0][outside])
    share = (boxes[:, 2] > boxes[:, 0]).float().mean()
    assert 0.5 < share < 0.9


def test_blur_is_torchvisions(x: Tensor) -> None:
    deviation = torch.linspace(0.2, 2, N)
    deviation[3] = 0  # this face stays as it is
    ours = blur(x, deviation, radius=6)
    for i in range(N):
        expected = TF.gaussian_blur(x[i], [13, 13], [deviation[i].item()] * 2) if deviation[i] else x[i]
        torch.testing.assert_close(ours[i], expected, atol=1e-5, rtol=0)


def test_half_of_the_faces_are_blurred(noise: Tensor) -> None:
    spec = replace(REPORT, blur=1.5)
    deviation = draw(spec, 4000, S, torch.Generator().manual_seed(1)).blur
    assert (deviation == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert deviation[deviation > 0].mean().item() == pytest.approx(0.75, abs=0.03)
    d = drawn(spec)
    without, blurred = apply(noise, replace(d, blur=torch.zeros(N)), REPORT), apply(noise, d, spec)
    changed = (blurred - without).abs().amax((1, 2, 3)) > 1e-6
    assert not changed[d.blur == 0].any()
    assert changed[d.blur > 0.3].all()  # much less than that reaches no neighbour


def test_small_faces_can_be_blurred_as_much_as_a_recipe_allows() -> None:
    faces = torch.randint(0, 256, (8, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    spec = AugmentRecipe(blur=8.0)
    assert augment(faces, spec, torch.Generator().manual_seed(0)).shape == (8, 1, 16, 16)


def test_noise_is_gaussian_and_half_of_the_faces_have_none() -> None:
    grey = torch.full((4000, 16, 16), 128, dtype=torch.uint8)
    spec = replace(REPORT, noise=0.06, autocontrast=0.0, fill="reflect", interpolation="bilinear")
    noisy = augment(grey, spec, torch.Generator().manual_seed(2))
    added = (noisy - 128 / 255).flatten(1)
    deviation = added.std(1)
    none = deviation < 1e-5
    assert none.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert 0.05 < deviation.max() < 0.075  # of 256 pixels, so a little beside the 0.06 asked for
    assert deviation[~none].mean().item() == pytest.approx(0.03, rel=0.05)
    drawn_noise = added[~none] / deviation[~none, None]
    assert (drawn_noise.abs() < 1).float().mean().item() == pytest.approx(0.683, abs=0.01)


def test_noise_leaves_the_other_parameters_and_the_range_of_grays() -> None:
    without, noisy = drawn(REPORT), drawn(replace(REPORT, noise=0.5))
    assert torch.equal(without.angle, noisy.angle)
    assert torch.equal(without.erase, noisy.erase)
    assert not without.noise.any()
    dark = torch.zeros(N, S, S, dtype=torch.uint8)
    found = augment(dark, replace(REPORT, noise=0.5), torch.Generator().manual_seed(0))
    assert found.min() == 0
    assert 0.5 < found.max() <= 1


def test_the_reports_pipeline_gives_what_pil_gives(noise: Tensor) -> None:
    """The report's table of transforms, done by torchvision on PIL images with our parameters.

    PIL works in whole grays, so a stretched one may be a level lower; and it turns in fixed point, so a
    pixel on the line between two sources may come from the other.
    """
    d = drawn(REPORT)
    ours = apply(noise, d, REPORT)
    different = torch.zeros(N)
    for i in range(N):
        face = Image.fromarray(noise[i].numpy())
        face = TF.pad(face, [2], padding_mode="reflect")
        left, top = d.crop[i].int().tolist()
        face = TF.crop(face, top, left, S, S)
        face = TF.affine(face, d.angle[i].item(), d.shift[i].int().tolist(), 1.0, [0.0, 0.0])
        face = TF.hflip(face) if d.flip[i] else face
        face = TF.to_grayscale(face, num_output_channels=1)
        face = TF.autocontrast(face) if d.autocontrast[i] else face
        different[i] = ((ours[i] - TF.to_tensor(face)).abs() > 1.01 / 255).float().mean()
    assert different.max() < 0.005


def test_parameters_are_drawn_from_torchvisions_ranges() -> None:
    """The same extremes, each value of the whole-numbered ones, and the same spread of the angle."""
    n = 20000
    torch.manual_seed(0)  # torchvision draws from the global generator
    d = draw(REPORT, n, S, torch.Generator().manual_seed(0))
    assert d.crop.unique().tolist() == [0, 1, 2, 3, 4]
    crops = {RandomCrop.get_params(torch.zeros(1, 52, 52), (S, S))[:2] for _ in range(500)}
    assert crops == {(i, j) for i in range(5) for j in range(5)}
    theirs = [RandomAffine.get_params([-15, 15], [0.1, 0.1], None, None, [S, S]) for _ in range(2000)]
    assert d.shift.unique().tolist() == sorted({shift for _, shifts, _, _ in theirs for shift in shifts})
    # Half of the ends' intervals round inwards, so the outermost shifts are rarer, as in torchvision.
    for value in (-5, 0, 5):
        ours_share = (d.shift == value).float().mean().item()
        their_share = np.mean([shift == value for _, shifts, _, _ in theirs for shift in shifts])
        assert ours_share == pytest.approx(their_share, abs=0.02)
    assert -15 <= d.angle.min() < -14.9
    assert 14.9 < d.angle.max() <= 15
    assert d.angle.std().item() == pytest.approx(30 / 12**0.5, rel=0.02)
    for chance in (d.flip, d.autocontrast):
        assert chance.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(d.scale, torch.ones(n))


def test_the_same_generator_gives_the_same_faces(noise: Tensor) -> None:
    spec = replace(
        REPORT, scale=(0.9, 1.1), brightness=0.2, contrast=0.2, erase=0.5, interpolation="bilinear"
    )
    first, second, other = (augment(noise, spec, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.shape == (N, 1, S, S)
    assert 0 <= first.min() <= first.max() <= 1


def test_the_faces_given_stay_as_they_are(noise: Tensor) -> None:
    before = noise.clone()
    augment(noise, replace(REPORT, erase=1.0, contrast=0.3), torch.Generator())
    assert torch.equal(noise, before)
