"""Classified faces in, results out: expressions smoothed over time, and the faces selected to report."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.inference.face import Face, read_face
from mien.models.card import Head, Limits
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace
from mien.video.smoothing import CausalSmoother, Smoothing, centred
from mien.video.stages.select import FaceSelector
from mien.video.stages.track import TrackedFrame
from mien.video.tracking.tracker import DOUBT_S

# Results wait so long at least, for a face's first frames to be confirmed by those behind them.
_LEAST_DELAY_S = DOUBT_S + 0.05

Rows = NDArray[np.float32]
# A person's number and a time to whom that part of the clip belongs; nothing is smoothed from one to another.
PartOf: TypeAlias = Callable[[int, float], int | None]


class SmoothStage:
    """Smooths each face's probabilities, gives persons their numbers, and returns results in order.

    Args:
        source: the clip's name, for the results.
        head: names the columns of the probabilities.
        smoothing: how to smooth.
        live: give each result at once, smoothed from the past alone; otherwise results come a moment later,
            smoothed from both sides.
        selector: which faces are reported; all for None.
        part_of: where a person's time is to be divided for smoothing; nowhere for None.
        limits: of the model's card, for the pose of heads whose movements are measured.
    """

    def __init__(
        self,
        source: str,
        head: Head,
        smoothing: Smoothing | None = None,
        *,
        live: bool = False,
        selector: FaceSelector | None = None,
        part_of: PartOf | None = None,
        limits: Limits = MappingProxyType({}),
    ) -> None:
        self._part_of = part_of
        self._source, self._head, self._live, self._limits = source, head, live, limits
        self._smoothing = smoothing or Smoothing()
        self._delay_s = 0.0 if live else max(self._smoothing.reach_s, _LEAST_DELAY_S)
        self._selector = selector or FaceSelector("all")
        self._waiting: deque[TrackedFrame] = deque()
        self._ids: dict[int, int] = {}
        # The probabilities of each track, as far back as smoothing reaches.
        self._history: dict[int, list[tuple[float, Rows]]] = {}
        self._causal: dict[tuple[int, int | None], CausalSmoother] = {}

    def feed(self, tracked: TrackedFrame) -> list[AnalyzedFrame]:
        """Take the next classified frame; returns the results that are complete by now, in order."""
        time_s = tracked.record.position.time_s
        self._ids |= tracked.ids
        self._waiting.append(tracked)
        if not self._live:
            for number, row in zip(tracked.numbers, tracked.record.probabilities, strict=True):
                self._history.setdefault(number, []).append((time_s, row))
        done = []
        while self._waiting and self._waiting[0].record.position.time_s <= time_s - self._delay_s:
            done.append(self._result(self._waiting.popleft()))
        self._forget(tracked)
        return done

    def finish(self, ids: dict[int, int]) -> list[AnalyzedFrame]:
        """The results that were still waiting when the clip ended; `ids` are the tracker's `final_ids`."""
        self._ids |= ids
        done = [self._result(tracked) for tracked in self._waiting]
        self._waiting.clear()
        return done

    def _result(self, tracked: TrackedFrame) -> AnalyzedFrame:
        """The result of a frame, now that what is around it is known."""
        record, position = tracked.record, tracked.record.position
        persons = [self._ids.get(number) for number in tracked.numbers]
        faces = []
        for i, person in enumerate(persons):
            raw = record.probabilities[i]
            smooth = self._smoothed(tracked.numbers[i], person, position.time_s, raw)
            if person is not None:
                smooth_face, raw_face = self._face(tracked, i, smooth), self._face(tracked, i, raw)
                faces.append(TrackedFace(person, smooth_face, raw_face, record.detected, tracked.changes[i]))
        faces.sort(key=lambda face: -face.box[2] * face.box[3])
        chosen = self._selector.choose(position.time_s, faces)
        mine = {face.id for face in chosen}
        others = [d.box for d, person in zip(record.detections, persons, strict=True) if person not in mine]
        gone = [box for person, box in tracked.vanished.items() if person != self._selector.person]
        thumbnails = {
            person: jpeg
            for face, jpeg in record.thumbnails.items()
            if (person := persons[face]) is not None and person in mine
        }
        result = FrameResult(self._source, position.index, position.time_s, tuple(chosen))
        return AnalyzedFrame(result, tracked.frame, (*others, *gone), thumbnails)

    def _face(self, tracked: TrackedFrame, i: int, row: Rows) -> Face:
        found = tracked.record.detections[i]
        movements = tracked.record.movements
        return read_face(
            row,
            self._head,
            box=found.box,
            confidence=found.confidence,
            keypoints=found.keypoints,
            limits=self._limits,
            movements=None if movements is None else (movements[i],),
        )

    def _smoothed(self, number: int, person: int | None, time_s: float, row: Rows) -> Rows:
        part_of = None if person is None else self._part_of
        part = None if part_of is None or person is None else part_of(person, time_s)
        if self._live:
            smoother = self._causal.setdefault((number, part), CausalSmoother(self._smoothing))
            return smoother.step(time_s, row)
        near = self._history[number]
        if part_of is not None and person is not None:
            near = [(at_s, values) for at_s, values in near if part_of(person, at_s) == part]
        times_s, rows = zip(*near, strict=True)
        return centred(times_s, np.stack(rows), times_s.index(time_s), self._smoothing)

    def _forget(self, newest: TrackedFrame) -> None:
        """Let go of what no frame that waits can reach any more."""
        newest_s = newest.record.position.time_s
        oldest_s = self._waiting[0].record.position.time_s if self._waiting else newest_s
        from_s = oldest_s - self._smoothing.reach_s
        for number, past in list(self._history.items()):
            while past and past[0][0] < from_s:
                del past[0]
            if not past:
                del self._history[number]
        self._causal = {
            key: smoother
            for key, smoother in self._causal.items()
            if newest_s - smoother.time_s <= self._smoothing.gap_s
        }
        waiting = {number for tracked in self._waiting for number in tracked.numbers}
        self._ids = {number: person for number, person in self._ids.items() if number in waiting}
