"""Classified faces in, results out: expressions smoothed over time, and the faces selected to report."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.inference.face import Shares, face_of, face_warnings, read_shares
from mien.models.card import Head, Limits
from mien.movements.measures import Movements
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace
from mien.video.smoothing import CausalSmoother, History, Smoothing, centred
from mien.video.stages.select import FaceSelector
from mien.video.stages.track import TrackedFrame
from mien.video.tracking.tracker import DOUBT_S

# Results wait so long at least, for a face's first frames to be confirmed by those behind them.
_LEAST_DELAY_S = DOUBT_S + 0.05
_PARTS = 8192  # times of persons whose part is remembered

Rows = NDArray[np.float32]
# A person's number and a time to whom that part of the clip belongs; nothing is smoothed from one to another.
PartOf: TypeAlias = Callable[[int, float], int | None]


class SmoothStage:
    """Smooths each face's probabilities, gives persons their numbers, and returns results in order.

    A face without warnings is smoothed over frames of the same kind alone, so that what is hard to see has no
    part in a certain answer. A face with warnings is smoothed over all frames; it is uncertain in any case.

    Args:
        source: the clip's name, for the results.
        head: names the columns of the probabilities.
        smoothing: how to smooth.
        live: give each result at once, smoothed from the past alone; otherwise results come a moment later,
            smoothed from both sides.
        selector: which faces are reported; all for None.
        part_of: where a person's time is to be divided for smoothing; nowhere for None.
        limits: of the quality, beyond which a face has warnings, see `Analyzer.limits`.
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
        # Each frame is within reach of some thirty others.
        self._part_of = part_of and lru_cache(_PARTS)(part_of)
        self._source, self._head, self._live, self._limits = source, head, live, limits
        self._smoothing = smoothing or Smoothing()
        self._delay_s = 0.0 if live else max(self._smoothing.reach_s, _LEAST_DELAY_S)
        self._selector = selector or FaceSelector("all")
        self._waiting: deque[TrackedFrame] = deque()
        self._ids: dict[int, int] = {}
        # The probabilities of each track, as far back as smoothing reaches.
        self._history: dict[int, History] = {}
        # By track, part, and whether it takes faces without warnings alone.
        self._causal: dict[tuple[int, int | None, bool], CausalSmoother] = {}

    def feed(self, tracked: TrackedFrame) -> list[AnalyzedFrame]:
        """Take the next classified frame; returns the results that are complete by now, in order."""
        time_s = tracked.record.position.time_s
        self._ids |= tracked.ids
        self._waiting.append(tracked)
        if not self._live:
            rows = zip(tracked.numbers, tracked.record.probabilities, strict=True)
            for i, (number, row) in enumerate(rows):
                if number not in self._history:
                    self._history[number] = History(len(row))
                self._history[number].append(time_s, row, warned=self._warned(tracked, i))
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
        known = [(i, person) for i, person in enumerate(persons) if person is not None]
        faces = []
        if self._live:  # a face is smoothed from its first frame on, also before it is known whose it is
            smooth_rows = [self._from_past(tracked, i, person) for i, person in enumerate(persons)]
            rows = [smooth_rows[i] for i, _ in known]
        else:
            rows = [self._from_both_sides(tracked, i, person) for i, person in known]
        if known:
            shares = read_shares(np.stack([*rows, *(record.probabilities[i] for i, _ in known)]), self._head)
            pairs = zip(known, shares, shares[len(known) :], strict=False)
            faces = [self._face(tracked, i, person, smooth, raw) for (i, person), smooth, raw in pairs]
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

    def _face(self, tracked: TrackedFrame, i: int, person: int, smooth: Shares, raw: Shares) -> TrackedFace:
        record = tracked.record
        found = record.detections[i]
        face = face_of(
            smooth,
            self._head,
            box=found.box,
            confidence=found.confidence,
            keypoints=found.keypoints,
            quality=record.qualities[i],
            limits=self._limits,
            movements=_movements(tracked, i),
        )
        of_frame = replace(face, emotions=raw.emotions, abstentions=raw.abstentions, votes=raw.votes)
        return TrackedFace(person, face, of_frame, record.detected, tracked.changes[i])

    def _warned(self, tracked: TrackedFrame, i: int) -> bool:
        return bool(face_warnings(tracked.record.qualities[i], self._limits, _movements(tracked, i)))

    def _from_past(self, tracked: TrackedFrame, i: int, person: int | None) -> Rows:
        number, time_s = tracked.numbers[i], tracked.record.position.time_s
        part = None if self._part_of is None or person is None else self._part_of(person, time_s)
        row: Rows = tracked.record.probabilities[i]
        smooth = row
        for clear in (False,) if self._warned(tracked, i) else (False, True):
            smoother = self._causal.setdefault((number, part, clear), CausalSmoother(self._smoothing))
            smooth = smoother.step(time_s, row)
        return smooth

    def _from_both_sides(self, tracked: TrackedFrame, i: int, person: int) -> Rows:
        time_s, history = tracked.record.position.time_s, self._history[tracked.numbers[i]]
        times_s, rows, warned = history.times_s, history.rows, history.warned
        at = int(np.searchsorted(times_s, time_s))
        mine = np.ones(len(times_s), np.bool_) if warned[at] else ~warned
        if self._part_of:
            part = self._part_of(person, time_s)
            mine &= np.array([self._part_of(person, at_s) == part for at_s in times_s.tolist()])
        if not mine.all():
            times_s, rows, at = times_s[mine], rows[mine], int(np.count_nonzero(mine[:at]))
        return centred(times_s, rows, at, self._smoothing)

    def _forget(self, newest: TrackedFrame) -> None:
        """Let go of what no frame that waits can reach any more."""
        newest_s = newest.record.position.time_s
        oldest_s = self._waiting[0].record.position.time_s if self._waiting else newest_s
        from_s = oldest_s - self._smoothing.reach_s
        for number, past in list(self._history.items()):
            past.forget_before(from_s)
            if not len(past):
                del self._history[number]
        self._causal = {
            key: smoother
            for key, smoother in self._causal.items()
            if newest_s - smoother.time_s <= self._smoothing.gap_s
        }
        waiting = {number for tracked in self._waiting for number in tracked.numbers}
        self._ids = {number: person for number, person in self._ids.items() if number in waiting}


def _movements(tracked: TrackedFrame, i: int) -> tuple[Movements | None] | None:
    """Those of a face, as `face_of` takes them."""
    movements = tracked.record.movements
    return None if movements is None else (movements[i],)
