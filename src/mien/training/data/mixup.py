"""Mixup and cutmix: a batch blended with itself, its targets in the same shares."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mien.runs.recipe_sections import AugmentRecipe


def mixup(
    pixels: Tensor, targets: dict[str, Tensor], spec: AugmentRecipe, generator: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mixup or cutmix of a batch with itself, one of the two at random if both are on.

    The few random numbers are drawn on the CPU, so that nothing waits for a GPU.

    Args:
        pixels: float (N, 1, S, S).
        targets: by head, float (N, C): each row a distribution, or zeros where there is none.

    Source: Zhang et al. 2018 (mixup), Yun et al. 2019 (CutMix).
    """
    kinds = [kind for kind, alpha in (("mixup", spec.mixup), ("cutmix", spec.cutmix)) if alpha]
    if not kinds:
        return pixels, targets
    kind = kinds[generator.integers(len(kinds))]
    alpha = spec.mixup if kind == "mixup" else spec.cutmix
    share = float(generator.beta(alpha, alpha))
    partner = torch.from_numpy(generator.permutation(len(pixels))).to(pixels.device)
    if kind == "mixup":
        mixed = torch.lerp(pixels[partner], pixels, share)
    else:
        size = pixels.shape[-1]
        left, top, right, bottom = _box(share, size, generator)
        mixed = pixels.clone()
        mixed[:, :, top:bottom, left:right] = pixels[partner][:, :, top:bottom, left:right]
        # A box over the edge is cut, so the share is what is left of the image.
        share = 1 - (right - left) * (bottom - top) / size**2
    return mixed, {name: torch.lerp(target[partner], target, share) for name, target in targets.items()}


def _box(share: float, size: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """A box of 1 - share of the area about a random centre: left, top, right, bottom, within the image."""
    half = size * math.sqrt(1 - share) / 2
    x, y = generator.random(2) * size
    return (
        round(max(x - half, 0)),
        round(max(y - half, 0)),
        round(min(x + half, size)),
        round(min(y + half, size)),
    )
