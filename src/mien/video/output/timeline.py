"""A clip's faces over time: stacked emotions, gaps where there was no face, thumbnails above."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.emotions import EMOTION_COLOURS
from mien.errors import MissingExtra, UsageError, reason
from mien.images.decode import read_image
from mien.names import shown
from mien.video.results import AnalyzedFrame, TrackedFace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Time is cut into bins that double whenever there are more than so many, so that a film needs no more
# memory than a clip; the figure has no more pixels across.
_BINS = 1200
_FIRST_BIN_S = 0.05
_THUMBNAILS = 16  # kept of a face; half of them are let go when there are more
_STRIPS = 48  # people kept; of more, those seen for the shortest time are let go
_SHOWN = 8  # people drawn
# Between two marks of the time axis, in seconds.
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
# Neighbours in the stack differ in hue and lightness.
_ORDER = ("happy", "surprise", "neutral", "sad", "contempt", "fear", "angry", "disgust")


@dataclass
class _Strip:
    """One person: per bin the sums of probabilities, the frames with the face, the uncertain ones of them."""

    bins: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    thumbnails: list[tuple[float, bytes]] = field(default_factory=list)
    last_s: float = 0.0

    @property
    def count(self) -> int:
        return int(sum(row[-2] for row in self.bins.values()))


class Timeline:
    """Gathers a clip's results for a figure, in memory that does not grow with the clip."""

    def __init__(self, emotions: Sequence[str]) -> None:
        self._emotions = tuple(emotions)
        self._bin_s = _FIRST_BIN_S
        self._origin_s: float | None = None
        self._end_s = 0.0
        self._frames: dict[int, int] = {}
        self._strips: dict[int, _Strip] = {}
        self._left_out = 0

    def write(self, analyzed: AnalyzedFrame) -> None:
        """Take the next result."""
        result = analyzed.result
        if self._origin_s is None:
            self._origin_s = result.time_s
        self._end_s = result.time_s
        while (at := int((result.time_s - self._origin_s) / self._bin_s)) >= _BINS:
            self._coarsen()
        self._frames[at] = self._frames.get(at, 0) + 1
        for face in result.faces:
            self._add(at, face, result.time_s)
        for person, jpeg in analyzed.thumbnails.items():
            self._keep(self._strips[person], result.time_s, jpeg)
        if len(self._strips) > _STRIPS:
            self._drop_one(result.time_s)

    def draw(self, path: Path, title: str, names: Mapping[int, str] | None = None) -> bool:
        """Writes a figure with one panel per person, in the suffix's format; False if nobody was seen.

        The people who were seen longest are shown, at most eight, by their names where they have one.

        Raises:
            MissingExtra: matplotlib is not installed.
            UsageError: the file cannot be written.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise MissingExtra("timeline figures", "video") from None
        longest = sorted(self._strips.items(), key=lambda item: (-item[1].count, item[0]))[:_SHOWN]
        if not longest:
            return False
        drawn = sorted(longest)
        figure = Figure(figsize=(11, 0.9 + 1.9 * len(drawn)), dpi=120, layout="constrained")
        panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (person, strip) in zip(panels, drawn, strict=True):
            self._panel(axes, (names or {}).get(person, f"person {person}"), strip)
        _time_axis(panels[-1], *self._range())
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False, fontsize=9)
        more = len(self._strips) - len(drawn) + self._left_out
        note = f", and {more} more seen for less time" if more else ""
        text = f"{shown(title)}: apparent expression over time{note}"
        figure.suptitle(text, fontsize=11, x=0.01, ha="left", parse_math=False)
        try:
            figure.savefig(path)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {reason(error)}. Choose another place.") from error
        return True

    def _add(self, at: int, face: TrackedFace, time_s: float) -> None:
        strip = self._strips.setdefault(face.id, _Strip())
        row = np.array(
            [*(face.face.emotions[name] for name in self._emotions), 1, face.face.uncertain], float
        )
        strip.bins[at] = strip.bins.get(at, 0.0) + row
        strip.last_s = time_s

    def _keep(self, strip: _Strip, time_s: float, jpeg: bytes) -> None:
        """Keep thumbnails spread over the time that a face was seen."""
        kept = strip.thumbnails
        least_s = (time_s - kept[0][0]) / _THUMBNAILS if kept else 0.0
        if not kept or time_s - kept[-1][0] >= least_s:
            kept.append((time_s, jpeg))
        if len(kept) > _THUMBNAILS:
            del kept[1::2]

    def _coarsen(self) -> None:
        self._bin_s *= 2
        self._frames = _halved(self._frames)
        for strip in self._strips.values():
            strip.bins = _halved(strip.bins)

    def _drop_one(self, time_s: float) -> None:
        """Let go of who was seen for the shortest time and is not there now."""
        gone = [
            (strip.count, person) for person, strip in self._strips.items() if time_s - strip.last_s > 5.0
        ]
        if gone:
            del self._strips[min(gone)[1]]
            self._left_out += 1

    def _range(self) -> tuple[float, float]:
        start_s = self._origin_s or 0.0
        return start_s, max(self._end_s, start_s + self._bin_s)

    def _panel(self, axes: Axes, label: str, strip: _Strip) -> None:
        order = sorted(self._emotions, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
        for first, (edges_s, shares) in enumerate(self._stretches(strip)):
            columns, unsure = [shares[:, self._emotions.index(name)] for name in order], shares[:, -1]
            axes.stackplot(
                edges_s,
                columns,
                step="post",
                colors=[EMOTION_COLOURS.get(name, "#888888") for name in order],
                labels=order if first == 0 else (),
                linewidth=0,
            )
            axes.fill_between(
                edges_s, -0.09, -0.04, where=unsure > 0.5, step="post", color="#444444", linewidth=0
            )
        start_s, end_s = self._range()
        axes.set(
            xlim=(start_s, end_s), ylim=(-0.12, 1), yticks=[0, 0.5, 1], yticklabels=["0", "50 %", "100 %"]
        )
        axes.set_facecolor("#F3F3F3")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        _thumbnails(axes, strip.thumbnails, (start_s, end_s))
        axes.set_ylabel(label, fontsize=9, parse_math=False)

    def _stretches(self, strip: _Strip) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Spans of time with the face: edges (B + 1,) and shares of its frames (B + 1, C + 2).

        The columns are the emotions, 1, and the uncertain frames. The last row repeats, for steps that are
        drawn behind each edge.
        """
        bins = sorted(self._frames)
        start_s = self._origin_s or 0.0
        ends = [*bins[1:], bins[-1] + 1]
        edges: list[float] = []
        shares: list[NDArray[Any]] = []
        nothing = np.zeros(len(self._emotions) + 2)
        for at, end in zip(bins, ends, strict=True):
            row = strip.bins.get(at, nothing)
            there = row[-2] * 2 >= self._frames[at]
            if there:
                edges.append(start_s + at * self._bin_s)
                shares.append(row / row[-2])
            if edges and (not there or end == ends[-1]):
                stop = end if there else at
                yield np.array([*edges, start_s + stop * self._bin_s]), np.array([*shares, shares[-1]])
                edges, shares = [], []


def _thumbnails(axes: Axes, thumbnails: Sequence[tuple[float, bytes]], span_s: tuple[float, float]) -> None:
    """Thumbnails above a panel, each over its time, none over another."""
    width = 0.058  # of the panel
    free = -1.0
    for time_s, jpeg in thumbnails:
        centre = (time_s - span_s[0]) / (span_s[1] - span_s[0])
        left = min(max(centre - width / 2, 0.0), 1 - width)
        if left < free:
            continue
        free = left + width * 1.1
        inset = axes.inset_axes((left, 1.03, width, 0.5))
        inset.imshow(read_image(jpeg).pixels)
        inset.set_axis_off()


def _time_axis(axes: Axes, start_s: float, end_s: float) -> None:
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    def clock(value: float, _: int) -> str:
        minutes, seconds = divmod(value, 60)
        hours, minutes = divmod(int(minutes), 60)
        if end_s < 60:
            return f"{value:g} s"
        return f"{hours}:{minutes:02d}:{seconds:02.0f}" if end_s >= 3600 else f"{minutes}:{seconds:02.0f}"

    step_s = next((step for step in _STEPS_S if (end_s - start_s) / step <= 8), (end_s - start_s) / 8)
    axes.xaxis.set_major_locator(MultipleLocator(step_s))
    axes.xaxis.set_major_formatter(FuncFormatter(clock))
    axes.set_xlabel("time; a dark bar below marks where no single expression stands out", fontsize=8)


def _halved(bins: dict[int, Any]) -> dict[int, Any]:
    """Bins of twice the width."""
    wide: dict[int, Any] = {}
    for at, value in bins.items():
        wide[at // 2] = wide[at // 2] + value if at // 2 in wide else value
    return wide
