"""Compound scaling, as the EfficientNet papers and the report explain it, and its published networks."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Bases of depth, width and resolution. Source: Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for
# Convolutional Neural Networks", section 3.3: found by grid search under ALPHA * BETA**2 * GAMMA**2 ~ 2.
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15

# The side of a face as FER2013 has it.
FACE_SIZE = 48


@dataclass(frozen=True)
class Backbone:
    """A member of the family.

    Attributes:
        name: timm's.
        family: ``"EfficientNet"``, ``"Lite"`` or ``"V2"``.
        depth, width: published multipliers of layers and channels; None for networks that were designed
            afresh, not scaled.
        resolution: the side, in pixels, for which timm offers its ImageNet weights.
        base: the resolution of the member of its family that the others are scaled from.
    """

    name: str
    family: str
    depth: float | None
    width: float | None
    resolution: int
    base: int

    @property
    def resolution_multiplier(self) -> float:
        """Its resolution relative to that of its family's base."""
        return self.resolution / self.base

    @property
    def phi(self) -> float | None:
        """The exponent that fits its three published multipliers best; None where it has none.

        The published networks were rounded by hand, so no exponent gives all three exactly.
        """
        if self.depth is None or self.width is None:
            return None
        return fit_phi(self.depth, self.width, self.resolution_multiplier)


# Multipliers. Source: github.com/tensorflow/tpu, models/official/efficientnet: efficientnet_builder.py and
# lite/efficientnet_lite_builder.py; V2: github.com/google/automl, efficientnetv2/effnetv2_configs.py.
# Resolutions: those for which timm offers ImageNet weights of that name.
_DEPTH_WIDTH = (
    (1.0, 1.0),
    (1.1, 1.0),
    (1.2, 1.1),
    (1.4, 1.2),
    (1.8, 1.4),
    (2.2, 1.6),
    (2.6, 1.8),
    (3.1, 2.0),
)
_RESOLUTIONS = (224, 240, 260, 300, 380, 456, 528, 600)

BACKBONES: tuple[Backbone, ...] = (
    *(
        Backbone(f"tf_efficientnet_b{i}", "EfficientNet", *_DEPTH_WIDTH[i], _RESOLUTIONS[i], 224)
        for i in range(8)
    ),
    *(Backbone(f"tf_efficientnet_lite{i}", "Lite", *_DEPTH_WIDTH[i], _RESOLUTIONS[i], 224) for i in range(5)),
    *(
        Backbone(f"tf_efficientnetv2_b{i}", "V2", *_DEPTH_WIDTH[i], resolution, 192)
        for i, resolution in enumerate((192, 192, 208, 240))
    ),
    *(
        Backbone(f"tf_efficientnetv2_{size}", "V2", None, None, resolution, resolution)
        for size, resolution in (("s", 300), ("m", 384), ("l", 384))
    ),
)


def multipliers(phi: float) -> tuple[float, float, float]:
    """Depth, width and resolution multipliers of an exponent: ALPHA**phi, BETA**phi, GAMMA**phi."""
    return ALPHA**phi, BETA**phi, GAMMA**phi


def cost(phi: float) -> float:
    """The multiply-accumulates of an exponent, as a multiple of the base's, about 2**phi.

    Layers count once, channels and resolution twice: (ALPHA * BETA**2 * GAMMA**2)**phi.
    """
    return float((ALPHA * BETA**2 * GAMMA**2) ** phi)


def fit_phi(depth: float, width: float, resolution: float) -> float:
    """The exponent whose multipliers come nearest to the given ones, by least squares of their logarithms."""
    bases = [math.log(base) for base in (ALPHA, BETA, GAMMA)]
    wanted = [math.log(value) for value in (depth, width, resolution)]
    return sum(b * w for b, w in zip(bases, wanted, strict=True)) / sum(b * b for b in bases)
