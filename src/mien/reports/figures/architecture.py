"""The layers of an EfficientNet and what each stage costs, from the published tables alone: no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mien.runs.scaling import BACKBONES, Backbone

# Of EfficientNet-B0, stage by stage: kernel, stride, expansion, channels, layers.
# Source: Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1.
_B0 = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM, _HEAD = 32, 1280
# Channels come in eights. Source: round_filters in efficientnet_builder.py, github.com/tensorflow/tpu.
_DIVISOR = 8
# Squeeze-and-excitation: a quarter of the block's input. Source: the same table's code.
_SQUEEZE = 0.25


@dataclass(frozen=True)
class Stage:
    """Equal layers of a network, one after the other.

    Attributes:
        operator: what each layer is, such as ``"MBConv6 5×5"``.
        side: of its output, pixels.
        channels: of its output.
        layers: how many.
        parameters: learned numbers of all its layers.
        macs: multiply-accumulates of one face.
    """

    operator: str
    side: int
    channels: int
    layers: int
    parameters: int
    macs: int


def find_backbone(name: str) -> Backbone | None:
    """The member of the family that timm calls so; None if it is none."""
    return next((backbone for backbone in BACKBONES if backbone.name == name), None)


def layout(
    backbone: Backbone, side: int, *, stem_stride: int = 2, width: float = 1.0, depth: float = 1.0
) -> list[Stage] | None:
    """The stages of a backbone whose input is gray and enlarged to `side` pixels; None for V2.

    Args:
        backbone: whose multipliers are used.
        side: of the input, pixels.
        stem_stride: of the first convolution.
        width, depth: multiply its channels and layers once more, as a recipe can.
    """
    if backbone.family == "V2" or backbone.width is None or backbone.depth is None:
        return None
    lite = backbone.family == "Lite"
    width, depth = backbone.width * width, backbone.depth * depth
    channels = _STEM if lite else _channels(_STEM, width)
    side = math.ceil(side / stem_stride)
    stages = [Stage("Conv 3×3", side, channels, 1, 9 * channels + 2 * channels, 9 * channels * side * side)]
    for i, (kernel, stride, expansion, base, layers) in enumerate(_B0):
        # Lite keeps the number of layers of its first and last stage.
        repeats = layers if lite and i in (0, len(_B0) - 1) else math.ceil(layers * depth)
        out = _channels(base, width)
        parameters = macs = 0
        for layer in range(repeats):
            step = stride if layer == 0 else 1
            cost = _block(channels, out, side, kernel, step, expansion, squeeze=not lite)
            parameters, macs = parameters + cost[0], macs + cost[1]
            channels, side = out, math.ceil(side / step)
        stages.append(Stage(f"MBConv{expansion} {kernel}×{kernel}", side, out, repeats, parameters, macs))
    head = _HEAD if lite else _channels(_HEAD, width)
    stages.append(Stage("Conv 1×1", side, head, 1, channels * head + 2 * head, channels * head * side * side))
    return stages


def _block(
    channels: int, out: int, side: int, kernel: int, stride: int, expansion: int, *, squeeze: bool
) -> tuple[int, int]:
    """Parameters and multiply-accumulates of one inverted bottleneck; batch normalisation has two a channel.

    Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 1.
    """
    inner, after = channels * expansion, math.ceil(side / stride)
    parameters = macs = 0
    if expansion > 1:
        parameters += channels * inner + 2 * inner
        macs += channels * inner * side * side
    parameters += kernel * kernel * inner + 2 * inner
    macs += kernel * kernel * inner * after * after
    if squeeze:
        narrow = max(1, int(channels * _SQUEEZE))
        parameters += 2 * inner * narrow + narrow + inner
        macs += 2 * inner * narrow
    parameters += inner * out + 2 * out
    macs += inner * out * after * after
    return parameters, macs


def _channels(channels: int, width: float) -> int:
    """Scaled channels as a multiple of eight that is not more than a tenth too small."""
    wanted = channels * width
    rounded = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * wanted else rounded
