"""Maps drawn over faces and photos: the hotter, the warmer and more opaque the colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.plotting import COLOURS, QUIET, percent, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mien.evaluation.attribution import Attributions, DeletionTest, MeanAttribution

# Bright where it is hot: readable by lightness alone.
_MAP = "inferno"
_MOST = 0.6


def draw_heat(
    axes: Axes, heat: NDArray[Any], extent: tuple[float, float, float, float], *, most: float = _MOST
) -> None:
    """A map (S, S), 0 to 1, over what is drawn at `extent` (left, right, bottom, top)."""
    alpha = most * np.clip(heat, 0, 1) ** 0.7
    axes.imshow(heat, cmap=_MAP, vmin=0, vmax=1, alpha=alpha, extent=extent, interpolation="bilinear")


def draw_means(axes: Axes, means: dict[str, MeanAttribution]) -> None:
    """The mean maps in a row, each over its mean face, with the number of faces."""
    for place, (name, mean) in enumerate(means.items()):
        extent = (place * 1.08, place * 1.08 + 1, -1.0, 0.0)
        axes.imshow(mean.face, cmap="gray", vmin=0, vmax=255, extent=extent)
        draw_heat(axes, mean.heat / max(mean.heat.max(), 1e-9), extent)
        text = f"{name}\n{mean.faces:,} faces\nupper half {mean.upper:.0%}"
        axes.text(extent[0] + 0.5, -1.04, text, ha="center", va="top", fontsize=9, linespacing=1.2)
    axes.set(xlim=(-0.03, len(means) * 1.08 - 0.05), ylim=(-1.42, 0.03), aspect="equal")
    axes.set_axis_off()
    axes.set_title("Mean maps, per emotion")


def draw_examples(axes: Axes, explained: Attributions, indices: NDArray[np.intp], *, columns: int) -> None:
    """Faces in rows, each without and with its map, the prediction, and the label if it differs."""
    e, rows = explained, -(-len(indices) // columns)
    for n, i in enumerate(indices):
        x, y = n % columns * 2.12, -(n // columns) * 1.3
        for right in (0, 1):
            extent = (x + right, x + right + 1, y - 1, y)
            axes.imshow(e.crops[i], cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        draw_heat(axes, e.maps[i], (x + 1, x + 2, y - 1, y))
        caption = f"{e.classes[e.predicted[i]]} {e.confidence[i]:.0%}"
        if e.predicted[i] != e.truth[i]:
            caption = f"{caption}, label: {e.classes[e.truth[i]]}"
        axes.text(x + 1, y - 1.03, caption, ha="center", va="top", fontsize=9)
    axes.set(xlim=(-0.03, columns * 2.12 - 0.09), ylim=(-rows * 1.3, 0.03), aspect="equal")
    axes.set_axis_off()


def draw_deletion_test(axes: Axes, tried: DeletionTest) -> None:
    """The mean probability of the prediction when a fifth of the face is painted over."""
    bars = {
        "nothing painted": (tried.whole, QUIET),
        "the coldest fifth": (tried.coldest, COLOURS[5]),
        "another face's hottest fifth": (tried.other, COLOURS[4]),
        "the hottest fifth": (tried.hottest, COLOURS[1]),
    }
    drawn = axes.barh(
        list(bars), [value for value, _ in bars.values()], color=[colour for _, colour in bars.values()]
    )
    axes.bar_label(drawn, [f"{value:.1%}" for value, _ in bars.values()], padding=4, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    percent(axes, "x")
    quiet(axes, grid="x")
    axes.set(title=f"Mean probability of the prediction ({tried.faces:,} faces)", xlabel="probability")


def draw_photo(
    axes: Axes,
    pixels: NDArray[np.uint8],
    squares: Sequence[tuple[float, float, float]],
    heats: Sequence[NDArray[np.float32]],
    captions: Sequence[str],
) -> None:
    """A photo (H, W, 3) with a map over the square (x, y, side) of each face, numbered if several."""
    height, width = pixels.shape[:2]
    axes.imshow(pixels, extent=(0, width, height, 0))
    for n, ((x, y, side), heat, caption) in enumerate(zip(squares, heats, captions, strict=True), 1):
        extent = (x, x + side, y + side, y)
        draw_heat(axes, heat, extent)
        frame_x, frame_y = [x, x + side, x + side, x, x], [y, y, y + side, y + side, y]
        axes.plot(frame_x, frame_y, color="white", linewidth=1.5)
        text = caption if len(squares) == 1 else f"{n}: {caption}"
        axes.text(
            min(max(x, 0), width * 0.98), max(y, height * 0.03), text, va="bottom", fontsize=9, color="white",
            bbox={"facecolor": "#202020", "edgecolor": "none", "pad": 2},
        )  # fmt: skip
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()


def draw_crops(
    axes: Axes,
    crops: NDArray[np.uint8],
    heats: Sequence[Sequence[NDArray[np.float32]]],
    captions: Sequence[Sequence[str]],
) -> None:
    """One row per face: as the model gets it, then the maps of its most probable classes, with names."""
    columns = 1 + max(len(each) for each in heats)
    for n, (crop, row, names) in enumerate(zip(crops, heats, captions, strict=True)):
        y = -n * 1.25
        for column in range(1 + len(row)):
            extent = (column * 1.08, column * 1.08 + 1, y - 1, y)
            axes.imshow(crop, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
            if column:
                draw_heat(axes, row[column - 1], extent)
            number = f"face {n + 1}, as the model gets it" if len(crops) > 1 else "as the model gets it"
            text = names[column - 1] if column else number
            axes.text(extent[0] + 0.5, y - 1.03, text, ha="center", va="top", fontsize=9)
    axes.set(xlim=(-0.03, columns * 1.08 - 0.05), ylim=(-len(crops) * 1.25, 0.03), aspect="equal")
    axes.set_axis_off()
