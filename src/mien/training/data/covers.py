"""Covers that hide a part of a face: masks, hands, sunglasses, or an object in front of one side.

Every shape is a function of its parameters, in shares of the image's side, so that the tests can
hold it against another implementation. The parameters are drawn around where FER2013's framing has eyes,
nose and mouth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

MASK, HAND, SUNGLASSES, SIDE = range(4)

# Where the parts of a face lie in FER2013's framing, in shares of the side, from its mean image.
EYES_Y, EYE_X, NOSE_Y, MOUTH_Y = 0.37, 0.19, 0.60, 0.78


@dataclass(frozen=True, eq=False)
class Covers:
    """One cover per face; lengths are shares of the image's side.

    Attributes:
        kind: (N,) int, -1 where nothing is covered.
        centre: (N, 2) x and y. Mask: the middle of its upper edge. Sunglasses: between the lenses. Side: a
            point of its edge.
        size: (N, 2) half the width and half the height of an ellipse; of a mask, half the upper and half the
            lower edge.
        angle: (N,) radians, the direction in which a side is covered.
        tone: (N, 2) gray in 0..1 at the upper and at the lower edge of the image.
    """

    kind: Tensor
    centre: Tensor
    size: Tensor
    angle: Tensor
    tone: Tensor


def draw_covers(probability: float, n: int, generator: Generator) -> Covers:
    """Random covers for n faces: a mask or a hand for two thirds of the covered faces."""
    u = torch.rand(n, 9, generator=generator, device=generator.device)
    kind = torch.tensor([MASK, MASK, HAND, HAND, SUNGLASSES, SIDE], device=u.device)[(u[:, 0] * 6).long()]

    def between(column: int, low: float, high: float) -> Tensor:
        return low + (high - low) * u[:, column]

    nothing = torch.zeros(n, 2, device=u.device)
    angle, distance = between(3, 0, 2 * math.pi), between(4, 0.05, 0.35)
    centres = {
        MASK: (between(1, 0.44, 0.56), between(2, NOSE_Y - 0.12, NOSE_Y + 0.1)),
        HAND: (between(1, 0.3, 0.7), between(2, MOUTH_Y - 0.15, MOUTH_Y + 0.1)),
        SUNGLASSES: (between(1, 0.46, 0.54), between(2, EYES_Y - 0.06, EYES_Y + 0.06)),
        SIDE: (0.5 + distance * torch.cos(angle), 0.5 + distance * torch.sin(angle)),
    }
    sizes = {
        MASK: (between(3, 0.33, 0.55), between(4, 0.2, 0.4)),
        HAND: (between(3, 0.15, 0.36), between(4, 0.13, 0.3)),
        SUNGLASSES: (between(3, 0.12, 0.19), between(4, 0.09, 0.16)),
        SIDE: (nothing[:, 0], nothing[:, 0]),
    }
    tone = between(5, 0, 1)
    # Half of the masks and glasses are nearly white or nearly black.
    extreme = (u[:, 6] < 0.5) & ((kind == MASK) | (kind == SUNGLASSES))
    tone = torch.where(extreme, torch.where(tone < 0.5, 0.3 * tone, 1 - 0.3 * (1 - tone)), tone)
    slope = between(7, -0.12, 0.12)
    return Covers(
        kind=torch.where(u[:, 8] < probability, kind, -1),
        centre=_chosen(kind, centres),
        size=_chosen(kind, sizes),
        angle=angle,
        tone=torch.stack([tone - slope, tone + slope], 1).clamp_(0, 1),
    )


def _chosen(kind: Tensor, values: dict[int, tuple[Tensor, Tensor]]) -> Tensor:
    """(N, 2): for each face the pair of its kind."""
    pairs = torch.stack([torch.stack(values[k], 1) for k in sorted(values)])  # (kinds, N, 2)
    return pairs[kind, torch.arange(len(kind), device=kind.device)]


def cover(pixels: Tensor, covers: Covers) -> Tensor:
    """Faces, float (N, 1, S, S) in 0..1, with their covers painted on; edges are not smoothed."""
    side = pixels.shape[-1]
    axis = (torch.arange(side, device=pixels.device, dtype=torch.float32) + 0.5) / side
    x = axis[None, None, :] - covers.centre[:, 0, None, None]  # (N, 1, S)
    y = axis[None, :, None] - covers.centre[:, 1, None, None]  # (N, S, 1)
    width, height = (covers.size[:, i, None, None] for i in (0, 1))
    kind, angle = covers.kind[:, None, None], covers.angle[:, None, None]
    inside = (
        ((kind == MASK) & _trapezoid(x, y, covers))
        | ((kind == HAND) & ((x / width) ** 2 + (y / height) ** 2 <= 1))
        | ((kind == SUNGLASSES) & (((x.abs() - EYE_X) / width) ** 2 + (y / height) ** 2 <= 1))
        | ((kind == SIDE) & (x * torch.cos(angle) + y * torch.sin(angle) >= 0))
    )
    shade = covers.tone[:, 0, None] + (covers.tone[:, 1] - covers.tone[:, 0])[:, None] * axis  # (N, S)
    return torch.where(inside[:, None], shade[:, None, :, None], pixels)


def _trapezoid(x: Tensor, y: Tensor, covers: Covers) -> Tensor:
    """(N, S, S): below the upper edge, between sides that run to the lower edge at the image's foot."""
    depth = (1 - covers.centre[:, 1])[:, None, None]
    upper, lower = (covers.size[:, i, None, None] for i in (0, 1))
    return (y >= 0) & (x.abs() <= upper + (lower - upper) * (y / depth).clamp(max=1))
