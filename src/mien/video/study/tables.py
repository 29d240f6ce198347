"""The tables of one clip, computed from its results alone: people, intervals and events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mien.emotions import column_name
from mien.video.results import FrameResult, TrackedFace
from mien.video.study.measures import Measures, Moments, named
from mien.video.summary import GAP_S, ClipSummary, person_row

Row = dict[str, Any]
# A frame that ends this much before the end of a bin has no part in the next one.
_ROUNDING_S = 1e-9


class PeopleTable:
    """One row per person; fed with the frames of a clip in their order, and how long each lasts."""

    def __init__(self, source: str, measures: Measures) -> None:
        self._measures, self._summary = measures, ClipSummary(source)
        self._moments: dict[int, Moments] = {}
        self._corrected_s: dict[int, float] = {}
        self._seconds, self._step_s = 0.0, 0.0

    def write(self, result: FrameResult, seconds: float) -> None:
        """Count a frame."""
        self._summary.write(result)
        self._seconds, self._step_s = self._seconds + seconds, seconds
        for face in result.faces:
            self._moments.setdefault(face.id, Moments()).add(self._measures.of(face), seconds)
            self._corrected_s[face.id] = self._corrected_s.get(face.id, 0.0) + seconds * face.corrected

    def rows(self) -> Iterator[Row]:
        """Everybody, in the order of their numbers; call it once, at the end."""
        labels, names = self._measures.labels, self._measures.names
        for person in self._summary.people():
            moments = self._moments[person.face_id]
            stay_s = person.last_s + self._step_s - person.first_s
            runs = person.longest_runs
            longest = {f"longest_{column_name(name)}_s": runs.get(name, 0.0) for name in labels}
            yield (
                _rounded(person_row(person, labels))
                | {
                    "share_of_clip": _share(person.seconds, self._seconds),
                    "missing": round(max(0.0, 1 - person.seconds / stay_s), 6) if stay_s > 0 else 0.0,
                    "corrected": _share(self._corrected_s[person.face_id], person.seconds, 0.0),
                }
                | _rounded(longest)
                | named("mean_", names, moments.mean)
                | named("sd_", names, moments.spread)
            )


@dataclass
class _Bin:
    """What was seen of a person in a bin."""

    moments: Moments = field(default_factory=Moments)
    uncertain_s: float = 0.0
    corrected_s: float = 0.0
    frames: int = 0


class IntervalTable:
    """One row per person and bin of time, counted from the clip's beginning.

    A person has a row for each bin from the first to the last in which they were seen; bins without them in
    between have no means. A frame that reaches over the end of a bin counts in both, for its part in each.
    """

    def __init__(self, source: str, measures: Measures, bin_s: float) -> None:
        self._source, self._measures, self._bin_s = source, measures, bin_s
        self._now, self._analyzed_s = 0, 0.0
        self._bins: dict[int, _Bin] = {}
        self._last: dict[int, int] = {}

    def write(self, result: FrameResult, seconds: float) -> Iterator[Row]:
        """Count a frame; yields the rows of bins that are complete by now."""
        at_s, end_s = result.time_s, result.time_s + seconds
        values = [(face, self._measures.of(face)) for face in result.faces]
        first = True
        while first or at_s < end_s - _ROUNDING_S:
            number = int((at_s + _ROUNDING_S) // self._bin_s)
            if number != self._now:
                yield from self.finish()
                self._now = number
            until_s = min(end_s, (number + 1) * self._bin_s)
            part_s = max(0.0, until_s - at_s)
            self._analyzed_s += part_s
            for face, value in values:
                it = self._bins.setdefault(face.id, _Bin())
                it.moments.add(value, part_s)
                it.uncertain_s += part_s * face.face.uncertain
                it.corrected_s += part_s * face.corrected
                it.frames += first
            at_s, first = until_s, False

    def finish(self) -> Iterator[Row]:
        """Yields the rows of the bin that is open."""
        for person, it in sorted(self._bins.items()):
            for missed in range(self._last.get(person, self._now) + 1, self._now):
                yield self._place(person, missed) | {"seconds": 0.0, "missing": 1.0, "frames": 0}
            self._last[person] = self._now
            yield self._row(person, it)
        self._bins, self._analyzed_s = {}, 0.0

    def _row(self, person: int, it: _Bin) -> Row:
        mean, seconds = it.moments.mean, it.moments.seconds
        labels = self._measures.labels
        return (
            self._place(person, self._now)
            | {
                "seconds": round(seconds, 6),
                "missing": round(1 - _share(seconds, self._analyzed_s), 6),
                "frames": it.frames,
                "top": labels[int(np.argmax(mean[: len(labels)]))],
                "uncertain": _share(it.uncertain_s, seconds),
                "corrected": _share(it.corrected_s, seconds),
            }
            | named("mean_", self._measures.names, mean)
        )

    def _place(self, person: int, number: int) -> Row:
        start_s, end_s = round(number * self._bin_s, 6), round((number + 1) * self._bin_s, 6)
        return {"source": self._source, "face_id": person, "start_s": start_s, "end_s": end_s}


@dataclass
class Event:
    """A time in which an emotion of a person stayed strong.

    Attributes:
        person, emotion: whose, and which.
        onset_s, offset_s: its first moment, and the first one behind it.
        onset_frame, offset_frame: its first and last frame.
        peak, peak_s: the largest value, and when it was first reached.
        onset_censored, offset_censored: whether the face appeared or vanished there, or the clip began or
            ended, so that the true time is unknown.
        moments: of the values.
        corrected_s: for how long the emotion was set by a person.
    """

    person: int
    emotion: str
    onset_s: float
    offset_s: float
    onset_frame: int
    offset_frame: int
    peak: float
    peak_s: float
    onset_censored: bool
    offset_censored: bool = False
    moments: Moments = field(default_factory=Moments)
    corrected_s: float = 0.0

    def go_on(self, result: FrameResult, seconds: float, value: float, *, corrected: bool = False) -> None:
        """Add a frame."""
        self.corrected_s += seconds * corrected
        self.offset_s, self.offset_frame = result.time_s + seconds, result.frame
        self.moments.add(np.array([value]), seconds)
        if value > self.peak:
            self.peak, self.peak_s = value, result.time_s

    def row(self, source: str) -> Row:
        """The event as a row of the table."""
        return _rounded(
            {
                "source": source,
                "face_id": self.person,
                "emotion": self.emotion,
                "onset_s": self.onset_s,
                "offset_s": self.offset_s,
                "duration_s": self.offset_s - self.onset_s,
                "onset_frame": self.onset_frame,
                "offset_frame": self.offset_frame,
                "peak": self.peak,
                "peak_s": self.peak_s,
                "mean": float(self.moments.mean[0]),
                "onset_censored": self.onset_censored,
                "offset_censored": self.offset_censored,
                "corrected": _share(self.corrected_s, self.moments.seconds, 0.0),
            }
        )


class EventTable:
    """One row per event: an emotion that reaches a threshold, until it falls below a lower one (hysteresis).

    An event goes on over half a second without the face, or over one missed frame.
    """

    def __init__(self, measures: Measures, threshold: float, hysteresis: float) -> None:
        self._measures = measures
        self._on, self._off = threshold, threshold - hysteresis
        self._open: dict[int, dict[str, Event]] = {}
        self._seen_s: dict[int, float] = {}
        self._before_s: float | None = None
        self._done: list[Event] = []

    def write(self, result: FrameResult, seconds: float) -> None:
        """Count a frame."""
        for face in result.faces:
            last_s = self._seen_s.get(face.id)
            goes_on = last_s is not None and (result.time_s - last_s <= GAP_S or last_s == self._before_s)
            if not goes_on:
                self._censor(face.id)
            self._step(face, result, seconds, censored=not goes_on)
            self._seen_s[face.id] = result.time_s
        self._before_s = result.time_s

    def events(self) -> list[Event]:
        """All events, by their onset; call it once, at the end."""
        for person in list(self._open):
            self._censor(person)
        return sorted(self._done, key=lambda event: (event.onset_s, event.person, event.emotion))

    def _step(self, face: TrackedFace, result: FrameResult, seconds: float, *, censored: bool) -> None:
        person, corrected = face.id, face.corrected
        values: list[float] = self._measures.of(face)[self._measures.events].tolist()
        running = self._open.setdefault(person, {})
        for emotion, value in zip(self._measures.labels, values, strict=True):
            event = running.get(emotion)
            if event is not None and value < self._off:
                event.offset_s = result.time_s
                self._done.append(running.pop(emotion))
            elif event is not None:
                event.go_on(result, seconds, value, corrected=corrected)
            elif value >= self._on:
                time_s, frame = result.time_s, result.frame
                event = Event(person, emotion, time_s, time_s, frame, frame, value, time_s, censored)
                event.go_on(result, seconds, value, corrected=corrected)
                running[emotion] = event

    def _censor(self, person: int) -> None:
        """End the events of a face that is gone."""
        for event in self._open.pop(person, {}).values():
            event.offset_censored = True
            self._done.append(event)


def _share(part: float, whole: float, of_nothing: float = 1.0) -> float:
    return round(min(1.0, part / whole), 6) if whole > 0 else of_nothing


def _rounded(row: Row) -> Row:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
