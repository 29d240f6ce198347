"""The layers of an EfficientNet and their cost, computed from the published tables, and drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.plotting import COLOURS, QUIET, quiet
from mien.runs.scaling import ALPHA, BACKBONES, BETA, GAMMA, Backbone, cost, multipliers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
# Of the drawn base network: its layers, and their channels relative to the widest.
_LAYERS = (0.42, 0.55, 0.7, 0.85)
# Of figure 5: each way costs 2**_GROWTH times the base network.
_GROWTH = 2


@dataclass(frozen=True)
class NetworkStage:
    """Equal layers of a network in sequence.

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
    """The member of the family with this name in timm, or None."""
    return next((backbone for backbone in BACKBONES if backbone.name == name), None)


def layout(
    backbone: Backbone,
    side: int,
    *,
    stem_stride: int = 2,
    width: float = 1.0,
    depth: float = 1.0,
    padding_size: int = 0,
) -> list[NetworkStage] | None:
    """The stages of a backbone whose input is gray and has `side` pixels; None for V2.

    Args:
        backbone: whose multipliers are used.
        side: of the input, pixels.
        stem_stride: of the first convolution.
        width, depth: multiply its channels and layers once more, as a recipe can.
        padding_size: the side of the input for which SAME paddings are computed; 0: `side`.
    """
    if backbone.family == "V2" or backbone.width is None or backbone.depth is None:
        return None
    lite = backbone.family == "Lite"
    width, depth = backbone.width * width, backbone.depth * depth
    channels = _STEM if lite else _channels(_STEM, width)
    maps = _Maps(side, padding_size or side)
    maps = maps.after(3, stem_stride)
    side = maps.side
    stages = [
        NetworkStage("Conv 3×3", side, channels, 1, 9 * channels + 2 * channels, 9 * channels * side * side)
    ]
    for i, (kernel, stride, expansion, base, layers) in enumerate(_B0):
        # Lite keeps the number of layers of its first and last stage.
        repeats = layers if lite and i in (0, len(_B0) - 1) else math.ceil(layers * depth)
        out = _channels(base, width)
        parameters = macs = 0
        for layer in range(repeats):
            step = stride if layer == 0 else 1
            before, maps = maps.side, maps.after(kernel, step)
            side = maps.side
            cost = _block(channels, out, (before, side), kernel, expansion, squeeze=not lite)
            parameters, macs = parameters + cost[0], macs + cost[1]
            channels = out
        stages.append(
            NetworkStage(f"MBConv{expansion} {kernel}×{kernel}", side, out, repeats, parameters, macs)
        )
    head = _HEAD if lite else _channels(_HEAD, width)
    stages.append(
        NetworkStage("Conv 1×1", side, head, 1, channels * head + 2 * head, channels * head * side * side)
    )
    return stages


@dataclass(frozen=True)
class _Maps:
    """The side of the maps at a layer, and the side for which the layer's SAME padding is computed."""

    side: int
    padded_for: int

    def after(self, kernel: int, stride: int) -> _Maps:
        """The maps behind a convolution."""
        out = math.ceil(self.padded_for / stride)
        padding = max((out - 1) * stride + kernel - self.padded_for, 0)
        return _Maps((self.side + padding - kernel) // stride + 1, out)


def _block(
    channels: int, out: int, sides: tuple[int, int], kernel: int, expansion: int, *, squeeze: bool
) -> tuple[int, int]:
    """Parameters and multiply-accumulates of one inverted bottleneck, with batch normalization.

    `sides` are those of the maps before and after it.

    Source: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 1.
    """
    inner, (side, after) = channels * expansion, sides
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


def scaling_options() -> dict[str, tuple[float, float, float]]:
    """Name to multipliers of depth, width and resolution of networks that cost four times as much."""
    return {
        "base": (1.0, 1.0, 1.0),
        "wider": (1.0, 2.0 ** (_GROWTH / 2), 1.0),
        "deeper": (2.0**_GROWTH, 1.0, 1.0),
        "higher resolution": (1.0, 1.0, 2.0 ** (_GROWTH / 2)),
        "all three": multipliers(_GROWTH),
    }


def draw_scaling_options(axes: Axes) -> None:
    """The base network and four larger ones: bars are layers, squares the input."""
    from matplotlib.patches import Rectangle

    for place, (name, (depth, width, resolution)) in enumerate(scaling_options().items()):
        middle, side = place * 2.55, 0.55 * resolution
        axes.add_patch(Rectangle((middle - side / 2, -side - 0.25), side, side, color="#b9bec4"))
        axes.plot([middle, middle], [-0.25, 0.05], color=QUIET, linewidth=1)
        layers = round(len(_LAYERS) * depth)
        height = 0.3
        for layer in range(layers):
            # Each base layer stands for as many as the depth gives it.
            length = _LAYERS[layer * len(_LAYERS) // layers] * width * 1.15
            axes.add_patch(
                Rectangle(
                    (middle - length / 2, 0.05 + layer * height),
                    length,
                    height * 0.74,
                    color=COLOURS[1] if name == "all three" else COLOURS[0],
                )
            )
        axes.text(middle, -1.62, name, ha="center", va="top", fontsize=11, fontweight="bold")
        axes.text(
            middle,
            -1.95,
            f"layers ×{depth:.3g}\nchannels ×{width:.3g}\nside ×{resolution:.3g}",
            ha="center",
            va="top",
            fontsize=9,
            color=QUIET,
        )
    axes.set(xlim=(-1.2, 11.5), ylim=(-3.0, 5.1), aspect="equal")
    axes.set_title("Ways to enlarge a network (bars: layers; their length: channels; square: input)")
    axes.set_axis_off()


def draw_scaling(axes: Axes) -> None:
    """Multipliers and cost over the exponent, with the published B0 to B7 as marks."""
    phi = np.linspace(0, 7, 100)
    names = (f"layers, {ALPHA}^φ", f"channels, {BETA}^φ", f"side, {GAMMA}^φ")
    family = [backbone for backbone in BACKBONES if backbone.family == "EfficientNet"]
    at = [backbone.phi or 0.0 for backbone in family]
    published = (
        [backbone.depth or 1.0 for backbone in family],
        [backbone.width or 1.0 for backbone in family],
        [backbone.resolution_multiplier for backbone in family],
    )
    curves = multipliers_over(phi)
    for i, (name, values) in enumerate(zip(names, published, strict=True)):
        axes.plot(phi, curves[i], color=COLOURS[i], label=name)
        axes.plot(at, values, "os^"[i], color=COLOURS[i], ms=7, mec="white", linestyle="none")
    axes.plot(phi, [cost(x) for x in phi], color="black", linestyle="--", label="cost, about 2^φ")
    for backbone, x in zip(family, at, strict=True):
        name = backbone.name.rpartition("_")[2].upper()
        axes.text(x, 0.8, name, ha="center", va="center", fontsize=9, color=QUIET)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}×")
    axes.set_ylim(0.7, 130)
    quiet(axes)
    axes.legend(frameon=False, loc="upper left")
    axes.set(
        title="Compound scaling: one exponent sets all three (marks: the published B0 to B7)",
        xlabel="φ, the exponent",
        ylabel="times B0",
    )


def multipliers_over(phi: np.ndarray) -> np.ndarray:
    """Depth, width and resolution multipliers, (3, len(phi))."""
    return np.array([multipliers(float(x)) for x in phi]).T


def draw_layout(axes: Axes, stages: Sequence[NetworkStage], name: str, side: int) -> None:
    """The stages from left to right: one square per layer, smaller as maps get smaller."""
    from matplotlib.patches import Rectangle

    total = sum(stage.macs for stage in stages)
    columns = [
        ("input", side, 1, ["input", "", f"{side}×{side}", "1", "", "", ""]),
        *(
            (
                stage.operator,
                stage.side,
                stage.layers,
                [
                    *stage.operator.split(" ", 1),
                    f"{stage.side}×{stage.side}",
                    f"{stage.channels:,}",
                    f"{stage.layers}",
                    _thousands(stage.parameters),
                    f"{stage.macs / total:.0%}",
                ],
            )
            for stage in stages
        ),
    ]
    for place, (_, at, layers, lines) in enumerate(columns):
        x, edge = place * 1.32, 1.15 * (at / side) ** 0.6  # so that the smallest can be seen
        for layer in reversed(range(min(layers, 8))):
            shift = 0.055 * layer
            axes.add_patch(
                Rectangle(
                    (x - edge / 2 + shift, shift),
                    edge,
                    edge,
                    facecolor="#b9bec4" if place == 0 else COLOURS[0] if "MBConv" in lines[0] else COLOURS[4],
                    edgecolor="white",
                    linewidth=0.8,
                )
            )
        for row, text in enumerate(lines):
            weight = "bold" if row < 2 else "normal"
            axes.text(x, -0.28 - 0.24 * row, text, ha="center", va="center", fontsize=8.5, fontweight=weight)
    for row, text in enumerate(("output", "channels", "layers", "parameters", "of the cost"), start=2):
        axes.text(-0.85, -0.28 - 0.24 * row, text, ha="right", va="center", fontsize=8.5, color=QUIET)
    axes.set(xlim=(-1.75, 1.32 * len(columns) - 0.6), ylim=(-2.0, 1.4), aspect="equal")
    axes.set_title(f"{name} with an input of {side}×{side} pixels")
    axes.set_axis_off()


def _thousands(number: int) -> str:
    """A number of parameters in a short form: 320, 13 k, 1.4 M."""
    if number < 1000:
        return str(number)
    return f"{number / 1e6:.1f} M" if number >= 999_500 else f"{number / 1000:.0f} k"
