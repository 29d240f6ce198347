"""The first rows of a table of faces, and the number of faces by emotion and by split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.data.table import UNLABELLED, FaceTable
from mien.errors import MissingExtra
from mien.plotting import COLOURS, draw_table, percent, quiet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_FIRST_PIXELS = 8
# As Kaggle's competition named them, in its order.
_USUAL = ("Training", "PublicTest", "PrivateTest")


@dataclass(frozen=True)
class Counts:
    """Faces by emotion and split.

    Attributes:
        faces: all of them, those without a label too.
        emotions: labelled faces by emotion, in the order of the labels.
        splits: faces by split; only the splits that exist.
        by_split: split to emotion to faces.
    """

    faces: int
    emotions: dict[str, int]
    splits: dict[str, int]
    by_split: dict[str, dict[str, int]]


def first_rows(table: FaceTable, rows: int = 5) -> pd.DataFrame:
    """The first rows as FER2013's CSV has them: emotion, the first pixels as text, Usage.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise MissingExtra("The table of the first rows", "study") from error
    first = table.take(np.arange(min(rows, len(table))))
    return pd.DataFrame(
        {
            "emotion": [_emotion(first, label) for label in first.labels],
            "pixels": [f"{' '.join(map(str, face.flat[:_FIRST_PIXELS]))} …" for face in first.pixels],
            "Usage": first.splits.astype(object),
        },
        index=pd.Index(first.rows, name="row"),
    )


def count(table: FaceTable) -> Counts:
    """Faces by emotion and split, in the order Training, PublicTest, PrivateTest, then as they come."""
    have = table.split_counts
    order = [*(name for name in _USUAL if name in have), *(name for name in have if name not in _USUAL)]
    return Counts(
        faces=len(table),
        emotions=_by_emotion(table),
        splits={name: have[name] for name in order},
        by_split={name: _by_emotion(table.split(name)) for name in order},
    )


def draw_first_rows(axes: Axes, frame: pd.DataFrame) -> None:
    """The first rows as a table."""
    rows = [[str(row), *map(str, values)] for row, values in zip(frame.index, frame.values, strict=True)]
    draw_table(axes, rows, ["row", *frame.columns], [0.1, 0.18, 0.52, 0.2])


def draw_emotions(axes: Axes, counts: Counts) -> None:
    """Faces by emotion, as bars with their number and share."""
    _bars(axes, counts.emotions)
    axes.set(title="Faces by emotion", ylabel="faces")


def draw_splits(axes: Axes, counts: Counts) -> None:
    """Faces by usage, as bars with their number and share."""
    _bars(axes, counts.splits)
    axes.set(title="Faces by usage", ylabel="faces")


def draw_by_split(axes: Axes, counts: Counts) -> None:
    """The share of each emotion within each split, side by side."""
    emotions, splits = list(counts.emotions), list(counts.by_split)
    width = 0.8 / len(splits)
    for i, split in enumerate(splits):
        inside = counts.by_split[split]
        labelled = sum(inside.values()) or 1
        place = np.arange(len(emotions)) + (i - (len(splits) - 1) / 2) * width
        shares = [inside[name] / labelled for name in emotions]
        axes.bar(
            place, shares, width * 0.94, color=COLOURS[i % len(COLOURS)], label=f"{split} ({labelled:,})"
        )
        for x, name, share in zip(place, emotions, shares, strict=True):
            axes.text(
                x, share + 0.004, f"{inside[name]:,}", ha="center", va="bottom", fontsize=8, rotation=90
            )
    axes.set_xticks(range(len(emotions)), emotions)
    percent(axes, "y")
    axes.margins(y=0.16)
    quiet(axes)
    axes.legend(frameon=False, ncols=len(splits), loc="upper center", bbox_to_anchor=(0.5, -0.08))
    axes.set(title="Emotions within each usage (bars: share, figures: faces)", ylabel="share of the usage")


def _bars(axes: Axes, counts: dict[str, int]) -> None:
    total = sum(counts.values()) or 1
    bars = axes.bar(list(counts), list(counts.values()), color=COLOURS[0], width=0.72)
    axes.bar_label(bars, [f"{n:,}\n{n / total:.1%}" for n in counts.values()], fontsize=9, padding=2)
    axes.margins(y=0.16)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    quiet(axes)


def _by_emotion(table: FaceTable) -> dict[str, int]:
    return {name: int((table.labels == label).sum()) for label, name in enumerate(table.classes)}


def _emotion(table: FaceTable, label: int) -> str:
    return "-" if label == UNLABELLED else f"{label} {table.classes[label]}"
