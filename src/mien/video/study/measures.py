"""What a study measures of a face: emotions, valence, movements, and their change from a person's rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.emotions import column_name, has_valence
from mien.models.card import Head
from mien.movements.measures import NAMES
from mien.video.results import FrameResult, TrackedFace

Values = NDArray[np.float64]
# A person's number to the means of their emotions and valence at rest.
Rest = Mapping[int, Values]
# A single frame has no length; it still counts.
_LEAST_S = 1e-9


class Measures:
    """The values of a face, float64 (M,), in the order of `names`: emotions are smoothed over time.

    Attributes:
        labels: names of the emotions.
        emotions: names of their columns.
        names: `emotions`, ``valence`` if it can be derived, the movements if there are any, then ``delta_``
            of each if there is a rest.

    Args:
        head: names the emotions.
        rest: subtract these values; a person without any has NaN for each change. None: no changes.
        movements: with those of the face, NaN where they were not measured.
    """

    def __init__(self, head: Head, rest: Rest | None = None, *, movements: bool = False) -> None:
        self.labels = [label for label in head.labels if label not in head.abstain]
        self._valence, self._rest, self._movements = has_valence(self.labels), rest, movements
        self.emotions = [column_name(label) for label in self.labels]
        self.names = [*self.emotions, *(["valence"] if self._valence else []), *(NAMES if movements else ())]
        self._count = len(self.names)
        if rest is not None:
            self.names += [f"delta_{name}" for name in self.names]
        # A person's number to their newest face and its values: each table of a study needs them.
        self._newest: dict[int, tuple[TrackedFace, Values]] = {}

    def of(self, face: TrackedFace) -> Values:
        """The values of a face; not to be changed."""
        newest = self._newest.get(face.id)
        if newest is None or newest[0] is not face:
            newest = self._newest[face.id] = (face, self._of(face))
        return newest[1]

    def _of(self, face: TrackedFace) -> Values:
        values = [face.face.emotions[label] for label in self.labels]
        if self._valence:
            values.append(face.face.valence or 0.0)
        if self._movements:
            moved = face.face.movements
            values += [math.nan if moved is None else _value(getattr(moved, name)) for name in NAMES]
        now: Values = np.array(values)
        if self._rest is None:
            return now
        rest = self._rest.get(face.id)
        return np.concatenate([now, np.full(len(now), np.nan) if rest is None else now - rest])

    @property
    def events(self) -> slice:
        """The values in which events are found: the emotions, or their changes if there is a rest."""
        first = 0 if self._rest is None else self._count
        return slice(first, first + len(self.labels))

    @property
    def changes(self) -> slice:
        """The changes from rest; empty without a rest."""
        return slice(self._count, len(self.names))


def _value(value: float | None) -> float:
    return math.nan if value is None else value


@dataclass
class Moments:
    """Mean and spread of values over time, each weighted by how long it lasted (Welford's algorithm).

    A value that is NaN does not count for itself, and counts for the others; one that never was there has
    the mean NaN.
    """

    seconds: float = 0.0
    mean: Values = field(default_factory=lambda: np.zeros(0))
    _squares: Values = field(default_factory=lambda: np.zeros(0))
    _of_each: Values | None = None  # seconds, once one value was missing

    def add(self, values: Values, seconds: float) -> None:
        """Count values that lasted so many seconds."""
        if not self.mean.size:
            self.mean, self._squares = np.zeros(len(values)), np.zeros(len(values))
        weight = max(seconds, _LEAST_S)
        if self._of_each is not None or np.isnan(values).any():
            self._add_some(values, weight)
            return
        self.seconds += weight
        difference = values - self.mean
        self.mean = self.mean + difference * (weight / self.seconds)
        self._squares = self._squares + weight * difference * (values - self.mean)

    def _add_some(self, values: Values, weight: float) -> None:
        if self._of_each is None:
            self._of_each = np.full(len(values), self.seconds)
            if not self.seconds:
                self.mean = np.full(len(values), np.nan)
        self.seconds += weight
        there = ~np.isnan(values)
        self._of_each = self._of_each + weight * there
        before = np.where(np.isnan(self.mean), values, self.mean)
        difference = np.where(there, values - before, 0.0)
        share = np.divide(weight, self._of_each, out=np.zeros(len(values)), where=there)
        self.mean = before + difference * share
        self._squares = self._squares + weight * difference * np.where(there, values - self.mean, 0.0)

    @property
    def spread(self) -> Values:
        """The standard deviation over time."""
        seconds = self.seconds if self._of_each is None else np.where(self._of_each, self._of_each, np.nan)
        spread: Values = np.sqrt(np.maximum(self._squares / seconds, 0.0))
        return spread


def timed(results: Iterable[FrameResult]) -> Iterator[tuple[FrameResult, float]]:
    """Yields each result with its seconds: until the next frame; the last lasts as long as the one before."""
    before: FrameResult | None = None
    seconds = 0.0
    for result in results:
        if before is not None:
            seconds = result.time_s - before.time_s
            yield before, seconds
        before = result
    if before is not None:
        yield before, seconds


def rest_of(
    results: Iterable[FrameResult], head: Head, span_s: tuple[float, float], *, movements: bool = False
) -> dict[int, Values]:
    """The means of each person in a span of time, in seconds since the clip's beginning.

    A person who is not seen in it has no rest. `movements` is as of `Measures`.
    """
    measures, moments = Measures(head, movements=movements), dict[int, Moments]()
    for result, seconds in timed(results):
        if result.time_s >= span_s[1]:
            break
        within_s = min(result.time_s + seconds, span_s[1]) - max(result.time_s, span_s[0])
        if result.time_s >= span_s[0] or within_s > 0:
            for face in result.faces:
                moments.setdefault(face.id, Moments()).add(measures.of(face), max(within_s, 0.0))
    return {person: it.mean for person, it in moments.items()}


def named(prefix: str, names: Sequence[str], values: Values) -> dict[str, float | None]:
    """Values by the names of their columns, with six decimals; None where there is none."""
    pairs = zip(names, values.tolist(), strict=True)
    return {f"{prefix}{name}": None if math.isnan(value) else round(value, 6) + 0.0 for name, value in pairs}
