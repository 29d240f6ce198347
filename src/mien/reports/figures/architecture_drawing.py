"""How a network is made larger, and what its layers are, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.plotting import COLOURS, QUIET, quiet
from mien.reports.figures.architecture import Stage
from mien.runs.scaling import ALPHA, BACKBONES, BETA, GAMMA, cost, multipliers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of the drawn base network: its layers, and their channels relative to the widest.
_LAYERS = (0.42, 0.55, 0.7, 0.85)
# Of figure 5: each way of growing costs 2**_GROWTH times the base network.
_GROWTH = 2


def ways() -> dict[str, tuple[float, float, float]]:
    """Name to multipliers of depth, width and resolution: ways to a network that costs four times as much."""
    return {
        "base": (1.0, 1.0, 1.0),
        "wider": (1.0, 2.0 ** (_GROWTH / 2), 1.0),
        "deeper": (2.0**_GROWTH, 1.0, 1.0),
        "higher resolution": (1.0, 1.0, 2.0 ** (_GROWTH / 2)),
        "all three": multipliers(_GROWTH),
    }


def draw_ways(axes: Axes) -> None:
    """The base network and four larger ones: bars are layers, squares the input."""
    from matplotlib.patches import Rectangle

    for place, (name, (depth, width, resolution)) in enumerate(ways().items()):
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
    axes.set_title("Ways to a larger network: bars are layers, their length channels, the square the input")
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
        title="Compound scaling: one exponent decides all three (marks: the published B0 to B7)",
        xlabel="φ, the exponent",
        ylabel="times B0",
    )


def multipliers_over(phi: np.ndarray) -> np.ndarray:
    """Depth, width and resolution multipliers, (3, len(phi))."""
    return np.array([multipliers(float(x)) for x in phi]).T


def draw_layout(axes: Axes, stages: Sequence[Stage], name: str, side: int) -> None:
    """The stages from left to right: a square a layer, smaller as maps get smaller."""
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
    """A number of parameters in as few characters as tell it: 320, 13 k, 1.4 M."""
    if number < 1000:
        return str(number)
    return f"{number / 1e6:.1f} M" if number >= 999_500 else f"{number / 1000:.0f} k"
