"""The appearance of the faces: one per emotion, their means, their lighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.data.table import UNLABELLED, FaceTable
from mien.emotions import VOTES
from mien.plotting import COLOURS, QUIET, draw_faces, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

# So that emotions differ without colour, too.
_MARKS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Lighting:
    """Brightness and contrast of each face: mean and standard deviation of its pixels, (N,), 0-255."""

    brightness: Floats
    contrast: Floats

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Minimum, quartiles and maximum of both."""
        names = ("minimum", "lower quartile", "median", "upper quartile", "maximum")
        return {
            what: dict(zip(names, np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist(), strict=True))
            for what, values in (("brightness", self.brightness), ("contrast", self.contrast))
        }


def mean_faces(table: FaceTable) -> dict[str, Floats]:
    """The mean face of each emotion that has faces, (H, W), 0-255."""
    return {
        name: table.pixels[table.labels == label].mean(axis=0)
        for label, name in enumerate(table.classes)
        if (table.labels == label).any()
    }


def representatives(table: FaceTable) -> dict[str, int]:
    """For each emotion that has faces, the index of a typical one.

    It is the face that correlates most with the emotion's mean face; where there are votes, among the faces
    with the most votes for the label.
    """
    chosen = {}
    for name, mean in mean_faces(table).items():
        label = table.classes.index(name)
        indices = np.flatnonzero(table.labels == label)
        if table.votes is not None:
            voted = table.votes[indices, VOTES.index(name)]
            indices = indices[voted == voted.max()]
        chosen[name] = int(indices[_likeness(table.pixels[indices], mean).argmax()])
    return chosen


def measure_lighting(table: FaceTable) -> Lighting:
    """Brightness and contrast of each face."""
    flat = table.pixels.reshape(len(table), -1)
    return Lighting(flat.mean(axis=1), flat.std(axis=1))


def draw_representatives(axes: Axes, table: FaceTable, chosen: dict[str, int]) -> None:
    """The chosen faces in a row, each with its label, its row and the votes for its label."""
    captions = [f"{table.labels[index]} {name}\nrow {table.rows[index]:,}" for name, index in chosen.items()]
    if table.votes is not None:
        votes = table.votes
        for i, (name, index) in enumerate(chosen.items()):
            captions[i] += f"\n{votes[index, VOTES.index(name)]} of {votes[index].sum()} votes"
    lines = 2 if table.votes is None else 3
    draw_faces(axes, table.pixels[list(chosen.values())], captions, columns=len(chosen), lines=lines)
    axes.set_title("One face per emotion")


def draw_mean_faces(axes: Axes, table: FaceTable, means: dict[str, Floats]) -> None:
    """The mean faces in a row, each with the number of faces behind it."""
    captions = [f"{name}\n{(table.labels == table.classes.index(name)).sum():,}" for name in means]
    draw_faces(axes, np.stack(list(means.values())), captions, columns=len(means), lines=2)
    axes.set_title("The mean face of each emotion (number of faces)")


def draw_lighting(axes: Axes, table: FaceTable, measured: Lighting) -> None:
    """Contrast over brightness, one dot per face, with the median of each emotion as a larger mark."""
    axes.scatter(measured.brightness, measured.contrast, s=2, color="#b8b8b8", linewidths=0, rasterized=True)
    for label, name in enumerate(table.classes):
        mine = table.labels == label
        if mine.any():
            x, y = np.median(measured.brightness[mine]), np.median(measured.contrast[mine])
            colour = COLOURS[label % len(COLOURS)]
            axes.plot(
                x,
                y,
                _MARKS[label % len(_MARKS)],
                ms=9,
                color=colour,
                mec="white",
                linestyle="none",
                label=f"{name}: {x:.0f}, {y:.0f}",
            )
    if (table.labels == UNLABELLED).all():
        axes.plot([], [], "o", color=QUIET, label="no labels")
    quiet(axes)
    axes.set(
        title="Lighting: brightness and contrast of each face",
        xlabel="brightness (mean of the pixels, 0-255)",
        ylabel="contrast (standard deviation)",
    )
    axes.legend(frameon=False, title="medians", loc="center left", bbox_to_anchor=(1, 0.5))


def _likeness(faces: NDArray[np.uint8], mean: Floats) -> Floats:
    """Correlation of each face with the mean, (N,); 0 for a face of one gray."""
    flat = faces.reshape(len(faces), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    wanted = (mean - mean.mean()).ravel()
    norm = np.linalg.norm(flat, axis=1) * np.linalg.norm(wanted)
    likeness: Floats = np.divide(flat @ wanted, norm, out=np.zeros(len(flat)), where=norm > 0)
    return likeness
