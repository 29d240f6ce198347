"""What all figures share: colours, quiet axes, faces in rows, and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MissingExtra
from mien.files import staged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by people with any colour vision, here from dark to light.
# Source: https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#595959")
QUIET = "#595959"
FORMATS = ("png", "svg", "pdf")
DPI = 130


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of that many inches with one axis, free of pyplot's global state.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("Drawing figures", "study") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """The figure's files, NAME.png, NAME.svg and NAME.pdf; the same figure gives the same bytes."""
    import matplotlib as mpl

    # Without the time, and with fonts whose text can be searched and is accepted by publishers.
    undated: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}

    paths = [folder / f"{name}.{ending}" for ending in FORMATS]
    with mpl.rc_context({"svg.hashsalt": name, "pdf.fonttype": 42}):
        for path in paths:
            with staged(path) as made:
                figure.savefig(made, dpi=DPI, metadata=undated.get(path.suffix))
            figure.set_layout_engine("none")  # the layout of the first file holds for all
    return paths


def quiet(axes: Axes, *, grid: str = "y") -> None:
    """Axes without frame, with a light grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def percent(axes: Axes, which: str) -> None:
    """Write the ticks of these axes, "x", "y" or both, which are shares, in percent."""
    from matplotlib.ticker import PercentFormatter

    for axis in which:
        getattr(axes, f"{axis}axis").set_major_formatter(PercentFormatter(1, decimals=0))


def draw_faces(
    axes: Axes, faces: NDArray[np.generic], captions: Sequence[str], *, columns: int, lines: int = 1
) -> None:
    """Gray faces (N, H, W), 0-255, in rows of `columns`, each with its caption of so many lines below."""
    below = 0.04 + 0.135 * lines
    rows = -(-len(faces) // columns)
    for place, (face, caption) in enumerate(zip(faces, captions, strict=True)):
        x, y = place % columns * 1.08, -(place // columns) * (1 + below)
        axes.imshow(face, cmap="gray", vmin=0, vmax=255, extent=(x, x + 1, y - 1, y), interpolation="nearest")
        axes.text(x + 0.5, y - 1.03, caption, ha="center", va="top", fontsize=9, linespacing=1.15)
    axes.set(xlim=(-0.03, columns * 1.08 - 0.05), ylim=(-rows * (1 + below), 0.03), aspect="equal")
    axes.set_axis_off()


def draw_matrix(
    axes: Axes,
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    below: str,
    left: str,
    texts: Sequence[Sequence[str]] | None = None,
) -> None:
    """A matrix of shares, 0-1, as shades of blue; nan is left white.

    The cells show `texts`, or each share in percent for None.
    """
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if not np.isnan(share):
                text = "·" if share == 0 else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"
                text = text if texts is None else texts[i][j]
                axes.text(
                    j,
                    i,
                    text,
                    ha="center",
                    va="center",
                    color="white" if share > 0.55 else "black",
                    fontsize=9,
                )
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=below, ylabel=left)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def draw_table(
    axes: Axes, rows: Sequence[Sequence[str]], columns: Sequence[str], widths: Sequence[float]
) -> None:
    """Text in rows and columns, the header shaded; `widths` are shares of the axes' width."""
    drawn = axes.table(
        [list(row) for row in rows],
        colLabels=list(columns),
        colWidths=[width / sum(widths) for width in widths],
        cellLoc="left",
        loc="center",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(10)
    drawn.scale(1, 1.5)
    for (row, _), cell in drawn.get_celld().items():
        cell.set(edgecolor="#dddddd", facecolor="#eef3f7" if row == 0 else "white")
    axes.set_axis_off()


def draw_stacked(
    axes: Axes,
    parts: Sequence[tuple[str, NDArray[np.float64], Any, str]],
    rows: Sequence[str],
    *,
    least: float = 0.045,
) -> None:
    """Horizontal bars of shares, one per row, each share in percent where there is room for it.

    Args:
        parts: name, values (rows,), colour of the bar, and colour of its text.
        rows: names of the rows, from the top.
        least: a smaller share gets no text.
    """
    left = np.zeros(len(rows))
    for name, values, colour, ink in parts:
        axes.barh(
            range(len(rows)), values, left=left, color=colour, edgecolor="white", height=0.76, label=name
        )
        for i, (start, value) in enumerate(zip(left, values, strict=True)):
            if value > least:
                middle = start + value / 2
                axes.text(middle, i, f"{value:.0%}", ha="center", va="center", color=ink, fontsize=9)
        left = left + values
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    percent(axes, "x")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
