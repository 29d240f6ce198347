"""Augmentation of a whole batch at once on the device: crop, affine and flip in one resampling.

Each transform is a pure function of pixels and parameters; `draw` draws the parameters. The
definitions are torchvision's (`RandomCrop`, `RandomAffine`, `RandomHorizontalFlip`,
`RandomAutocontrast`), and the tests hold each against it on the same parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mien.runs.recipe_sections import AugmentRecipe
from mien.training.data.covers import Covers, cover, draw_covers


@dataclass(frozen=True, eq=False)
class AugmentParameters:
    """The parameters of one batch, each (N,) unless another shape is given.

    Attributes:
        crop: (N, 2) where the crop begins in the padded image, x and y in whole pixels; the padding
            itself leaves the image as it is.
        angle: degrees clockwise, as torchvision counts.
        shift: (N, 2) pixels to the right and down, whole.
        scale: enlargement.
        flip, autocontrast: bool.
        gain, offset: contrast about the mean, and brightness in 0..1.
        erase: (N, 4) box x0, y0, x1, y1 of the grey patch; empty where nothing is erased.
        blur: standard deviation in pixels; 0 leaves the face as it is.
        noise: (N, 1, S, S) what is added to each pixel, or (N, 1, 1, 1) of zeros.
        motion: (N, 2) length in pixels and direction in radians of the camera's motion; length 0 for none.
        covers: what hides a part of each face; None if the recipe covers nothing.
    """

    crop: Tensor
    angle: Tensor
    shift: Tensor
    scale: Tensor
    flip: Tensor
    autocontrast: Tensor
    gain: Tensor
    offset: Tensor
    erase: Tensor
    blur: Tensor
    noise: Tensor
    motion: Tensor
    covers: Covers | None


def draw(spec: AugmentRecipe, n: int, size: int, generator: Generator) -> AugmentParameters:
    """Random parameters for n faces of size x size pixels.

    The same generator gives the same faces the same rotation and flip, whatever else the recipe sets.
    """
    device = generator.device
    crop = torch.randint(0, 2 * spec.crop_padding + 1, (n, 2), generator=generator, device=device)
    u = torch.rand(n, 13, generator=generator, device=device)
    same, never = torch.ones(n, device=device), torch.zeros(n, 4, device=device)
    low, high = map(math.log, spec.scale)
    reach = 2 * spec.translate * size
    return AugmentParameters(
        crop=crop.float(),
        angle=(u[:, 0] - 0.5) * (2 * spec.degrees),
        shift=((u[:, 1:3] - 0.5) * reach).round(),
        flip=u[:, 3] < spec.flip,
        autocontrast=u[:, 4] < spec.autocontrast,
        scale=torch.exp(u[:, 5] * (high - low) + low) if high > low else same * spec.scale[0],
        gain=1 + (u[:, 6] - 0.5) * (2 * spec.contrast) if spec.contrast else same,
        offset=(u[:, 7] - 0.5) * (2 * spec.brightness) if spec.brightness else never[:, 0],
        erase=_erase_boxes(u[:, 9:13], u[:, 8] < spec.erase, size) if spec.erase else never,
        blur=spec.blur * _half(n, generator) if spec.blur else never[:, 0],
        noise=_noise(spec.noise, n, size, generator) if spec.noise else never[:, :1, None, None],
        motion=_motion(spec.motion, n, generator) if spec.motion else never[:, :2],
        covers=draw_covers(spec.cover, n, generator) if spec.cover else None,
    )


def _half(n: int, generator: Generator) -> Tensor:
    """(n,): 0 for half of the faces, evenly spread over 0..1 for the others."""
    return (2 * torch.rand(n, generator=generator, device=generator.device) - 1).clamp_(min=0)


def _motion(most: float, n: int, generator: Generator) -> Tensor:
    """(n, 2): a length of up to `most` pixels and a direction."""
    length = most * _half(n, generator)
    return torch.stack([length, math.pi * torch.rand(n, generator=generator, device=generator.device)], 1)


def _noise(most: float, n: int, size: int, generator: Generator) -> Tensor:
    """Gaussian noise (n, 1, size, size) of a standard deviation of up to `most`."""
    deviation = most * _half(n, generator)
    return deviation[:, None, None, None] * torch.randn(
        n, 1, size, size, generator=generator, device=generator.device
    )


def _erase_boxes(u: Tensor, wanted: Tensor, size: int) -> Tensor:
    """Boxes of 2 to 20 % of the area and aspect 0.5 to 2. Source: Zhong et al. 2017, sides narrowed."""
    area = (0.02 + 0.18 * u[:, 0]) * size * size
    aspect = torch.exp((u[:, 1] * 2 - 1) * math.log(2))
    width, height = (area * aspect).sqrt().clamp(max=size), (area / aspect).sqrt().clamp(max=size)
    x, y = u[:, 2] * (size - width), u[:, 3] * (size - height)
    return torch.stack([x, y, x + width, y + height], 1).round() * wanted[:, None]


def augment(pixels: Tensor, spec: AugmentRecipe, generator: Generator) -> Tensor:
    """A batch of gray faces, uint8 (N, S, S), as augmented float (N, 1, S, S) in 0..1."""
    return apply(pixels, draw(spec, len(pixels), pixels.shape[-1], generator), spec)


def apply(pixels: Tensor, d: AugmentParameters, spec: AugmentRecipe) -> Tensor:
    """What `augment` does, with the parameters given."""
    x = pixels[:, None].float().div_(255)
    if d.covers is not None:
        x = cover(x, d.covers)
    x = resample(x, d, spec)
    if spec.autocontrast:
        x = autocontrast(x, d.autocontrast)
    if spec.brightness or spec.contrast:
        x = brightness_contrast(x, d.gain, d.offset)
    if spec.erase:
        x = erase(x, d.erase)
    if spec.blur:
        # A mirror image reaches no further than the face.
        x = blur(x, d.blur, radius=min(math.ceil(3 * spec.blur), x.shape[-1] - 1))
    if spec.motion:
        x = motion_blur(x, d.motion, radius=min(math.ceil(spec.motion / 2), x.shape[-1] - 1))
    if spec.noise:
        x = (x + d.noise).clamp_(0, 1)
    return x


def resample(pixels: Tensor, d: AugmentParameters, spec: AugmentRecipe) -> Tensor:
    """Crop, affine and flip composed into one map and one resampling.

    Args:
        pixels: float (N, 1, S, S).
    """
    size = pixels.shape[-1]
    offset = d.crop
    if spec.fill == "zero" and spec.crop_padding:
        pixels = _only_the_crop(pixels, d.crop, spec.crop_padding)  # (N, 1, S + 2 padding, S + 2 padding)
    else:
        # The mirror goes on without end, so the crop's own mirrored border is part of it.
        offset = d.crop - spec.crop_padding
    return functional.grid_sample(
        pixels,
        _map(d, size, pixels.shape[-1], offset).permute(0, 2, 3, 1),
        mode=spec.interpolation,
        padding_mode="zeros" if spec.fill == "zero" else "reflection",
        align_corners=True,
    )


def _only_the_crop(pixels: Tensor, crop: Tensor, padding: int) -> Tensor:
    """The images padded by their mirror image, black outside of the crop."""
    padded = functional.pad(pixels, (padding,) * 4, mode="reflect")
    axis = torch.arange(padded.shape[-1], device=pixels.device)
    inside = (axis >= crop[..., None]) & (axis < crop[..., None] + pixels.shape[-1])  # (N, 2, P): x and y
    inside = inside.to(padded.dtype)
    return padded.mul_(inside[:, 0, None, None, :]).mul_(inside[:, 1, None, :, None])


def _map(d: AugmentParameters, size: int, source_size: int, offset: Tensor) -> Tensor:
    """Where each pixel of the result comes from: x and y, (N, 2, S, S).

    -1 and 1 are the centres of the source's outermost pixels. Read from the result backwards: flip,
    then torchvision's inverse affine about the centre, then the offset (N, 2) of the crop in the source.
    """
    angle = torch.deg2rad(d.angle)
    cos, sin = torch.cos(angle) / d.scale, torch.sin(angle) / d.scale
    # Inverse of rotate-scale-then-shift, as in torchvision's _get_inverse_affine_matrix.
    linear = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)  # (N, 2, 2)
    centre = (size - 1) / 2
    constant = centre + offset - (linear @ d.shift[..., None])[..., 0]  # (N, 2), in pixels
    unit = 2 / (source_size - 1)
    linear, constant = linear * unit, constant * unit - 1
    across = linear[..., 0] * torch.where(d.flip, -1.0, 1.0)[:, None]  # (N, 2): what a step to the right does
    down = linear[..., 1]
    axis = torch.arange(size, device=d.angle.device, dtype=torch.float32) - centre
    along_rows = across[..., None] * axis  # (N, 2, S)
    along_columns = down[..., None] * axis + constant[..., None]
    return along_rows[:, :, None, :] + along_columns[:, :, :, None]


def autocontrast(pixels: Tensor, chosen: Tensor) -> Tensor:
    """The chosen faces stretched so that their darkest pixel is 0 and their brightest 1."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    change = chosen[:, None, None, None] & (high > low)
    low = torch.where(change, low, 0.0)
    return (pixels - low).div_(torch.where(change, high - low, 1.0))


def brightness_contrast(pixels: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Each face stretched by `gain` about its mean and brightened by `offset`, kept in 0..1."""
    mean = pixels.mean((2, 3), keepdim=True)
    gain, offset = gain[:, None, None, None], offset[:, None, None, None]
    return (pixels * gain).add_(mean * (1 - gain) + offset).clamp_(0, 1)


def erase(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Each face with its box (x0, y0, x1, y1; the end excluded) painted in the face's mean gray."""
    axis = torch.arange(pixels.shape[-1], device=pixels.device)
    x = ((axis >= boxes[:, 0:1]) & (axis < boxes[:, 2:3])).to(pixels.dtype)  # (N, S)
    y = ((axis >= boxes[:, 1:2]) & (axis < boxes[:, 3:4])).to(pixels.dtype)
    box = (y[:, :, None] * x[:, None, :])[:, None]  # (N, 1, S, S), 0 or 1
    mean = pixels.mean((2, 3), keepdim=True)
    return torch.addcmul(pixels * (1 - box), box, mean)


def blur(pixels: Tensor, deviation: Tensor, radius: int) -> Tensor:
    """Each face (N, 1, S, S) blurred by a Gaussian of its own, (N,) in pixels, cut off at `radius`.

    What lies outside is the face mirrored. A deviation of 0 changes nothing.
    """
    n = len(pixels)
    taps = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    weights = torch.exp(-0.5 * (taps / deviation.clamp(min=1e-3)[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)  # (N, K)
    # The faces are channels of one image, so that each has its own weights.
    x = functional.pad(pixels.transpose(0, 1), (radius,) * 4, mode="reflect")  # (1, N, S + 2r, S + 2r)
    x = functional.conv2d(x, weights[:, None, None, :], groups=n)
    return functional.conv2d(x, weights[:, None, :, None], groups=n).transpose(0, 1)


def motion_blur(pixels: Tensor, motion: Tensor, radius: int) -> Tensor:
    """Each face (N, 1, S, S) averaged along a line of its own: length in pixels and direction, (N, 2).

    The line is one pixel thick with linear edges, and is cut off at `radius`. What lies outside is the face
    mirrored. A length of 0 changes nothing.
    """
    n, side = len(pixels), 2 * radius + 1
    taps = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    length, angle = motion[:, 0, None, None], motion[:, 1, None, None]
    across, down = taps[None, None, :], taps[None, :, None]
    along = (across * torch.cos(angle) + down * torch.sin(angle)).abs()
    beside = (down * torch.cos(angle) - across * torch.sin(angle)).abs()
    weights = (length / 2 + 0.5 - along).clamp(0, 1) * (1 - beside).clamp(min=0)  # (N, K, K)
    centre = functional.one_hot(torch.tensor(radius * side + radius), side * side).view(side, side)
    weights = torch.where(length > 0, weights, centre.to(weights))
    weights = weights / weights.sum((1, 2), keepdim=True)
    x = functional.pad(pixels.transpose(0, 1), (radius,) * 4, mode="reflect")
    return functional.conv2d(x, weights[:, None], groups=n).transpose(0, 1)
