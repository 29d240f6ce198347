"""What a study measures of a face: each emotion, valence, and their change from the person's own rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.emotions import column_name, has_valence
from mien.models.card import Head
from mien.video.results import FrameResult, TrackedFace

Values = NDArray[np.float64]
# A person's number to the means of their emotions and valence at rest.
Rest = Mapping[int, Values]
# A single frame has no length; it still counts.
_LEAST_S = 1e-9


class Measures:
    """The values of a face, float64 (M,), in the order of `names`: smoothed over time.

    Attributes:
        labels: names of the emotions.
        emotions: names of their columns.
        names: `emotions`, ``valence`` if it can be derived, then ``delta_`` of each if there is a rest.

    Args:
        head: names the emotions.
        rest: subtract these values; a person without any has NaN for each change. None: no changes.
    """

    def __init__(self, head: Head, rest: Rest | None = None) -> None:
        self.labels = [label for label in head.labels if label not in head.abstain]
        self._valence, self._rest = has_valence(self.labels), rest
        self.emotions = [column_name(label) for label in self.labels]
        self.names = [*self.emotions, *(["valence"] if self._valence else [])]
        if rest is not None:
            self.names += [f"delta_{name}" for name in self.names]

    def of(self, face: TrackedFace) -> Values:
        """The values of a face."""
        values = np.array([face.face.emotions[label] for label in self.labels])
        if self._valence:
            values = np.append(values, face.face.valence or 0.0)
        if self._rest is None:
            return values
        change = values - self._rest.get(face.id, np.full(len(values), np.nan))
        return np.concatenate([values, change])

    @property
    def events(self) -> slice:
        """The values in which events are found: the emotions, or their changes if there is a rest."""
        first = 0 if self._rest is None else len(self.names) // 2
        return slice(first, first + len(self.emotions))


@dataclass
class Moments:
    """Mean and spread of values over time, each weighted by how long it lasted (Welford's algorithm)."""

    seconds: float = 0.0
    mean: Values = field(default_factory=lambda: np.zeros(0))
    _squares: Values = field(default_factory=lambda: np.zeros(0))

    def add(self, values: Values, seconds: float) -> None:
        """Count values that lasted so many seconds."""
        if not self.mean.size:
            self.mean, self._squares = np.zeros(len(values)), np.zeros(len(values))
        weight = max(seconds, _LEAST_S)
        self.seconds += weight
        difference = values - self.mean
        self.mean = self.mean + difference * (weight / self.seconds)
        self._squares = self._squares + weight * difference * (values - self.mean)

    @property
    def spread(self) -> Values:
        """The standard deviation over time."""
        spread: Values = np.sqrt(np.maximum(self._squares / self.seconds, 0.0))
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


def rest_of(results: Iterable[FrameResult], head: Head, span_s: tuple[float, float]) -> dict[int, Values]:
    """The means of each person in a span of time, in seconds since the clip's beginning.

    A person who is not seen in it has no rest.
    """
    measures, moments = Measures(head), dict[int, Moments]()
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
