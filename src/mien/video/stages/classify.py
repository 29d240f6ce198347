"""TrackedFrame faces in, their apparent expression smoothed over time out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.inference.face import Face, read_face
from mien.models.card import Head
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace
from mien.video.smoothing import CausalSmoother, Smoothing, centred
from mien.video.stages.select import FaceSelector
from mien.video.stages.track import TrackedFrame
from mien.video.tracker import DOUBT_S

# The model is asked about so many faces at once: a face in a batch of 8 costs a fifth less than alone.
_BATCH = 8
# Results wait so long at least, for a face's first pictures to be confirmed by those behind them.
_LEAST_DELAY_S = DOUBT_S + 0.05

Rows = NDArray[np.float32]


class Predictor(Protocol):
    """What is asked of a classifier: one method."""

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, C) of gray faces (N, S, S)."""
        ...


@dataclass
class _Waiting:
    """A picture whose faces the model was asked about, until those behind it are known."""

    followed: TrackedFrame
    rows: Rows
    ids: list[int | None]


@dataclass
class _History:
    """What the model said of one face, as far back as smoothing looks."""

    times_s: list[float] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)


class ClassifyStage:
    """Asks the model about followed faces, smooths its answers, and gives results in order.

    Args:
        source: the clip's name, for the results.
        predictor: gray faces to probabilities, columns as `head` names them.
        head: the names.
        smoothing: how to smooth.
        live: give each result at once, smoothed from the past alone; else results come a moment later,
            smoothed from both sides.
        chooser: which faces are reported; all for None.
    """

    def __init__(
        self,
        source: str,
        predictor: Predictor,
        head: Head,
        smoothing: Smoothing,
        *,
        live: bool = False,
        chooser: FaceSelector | None = None,
    ) -> None:
        self._source, self._predictor, self._head = source, predictor, head
        self._how, self._live = smoothing, live
        self._delay_s = 0.0 if live else max(smoothing.reach_s, _LEAST_DELAY_S)
        self._chooser = chooser or FaceSelector("all")
        self._unread: list[TrackedFrame] = []
        self._waiting: deque[_Waiting] = deque()
        self._history: dict[int, _History] = {}
        self._causal: dict[int, CausalSmoother] = {}

    def feed(self, followed: TrackedFrame) -> list[AnalyzedFrame]:
        """Take the next picture; gives the results that are complete by now, in order."""
        self._learn(followed.ids)
        self._unread.append(followed)
        if not self._live and followed.state is None and self._crops() < _BATCH and self._is_early():
            return []
        self._ask()
        newest_s = followed.moment.time_s
        done = []
        while self._waiting and self._waiting[0].followed.moment.time_s <= newest_s - self._delay_s:
            done.append(self._tell(self._waiting.popleft()))
        self._forget()
        return done

    def finish(self, ids: dict[int, int]) -> list[AnalyzedFrame]:
        """The results that were still waiting when the clip ended; `ids` are `TrackStage.last_ids`."""
        self._ask()
        self._learn(ids)
        done = [self._tell(it) for it in self._waiting]
        self._waiting.clear()
        return done

    def state(self) -> dict[str, Any]:
        """What is needed, with its own state, to go on behind the last picture fed; plain values for JSON."""
        return {
            "waiting": [_plain(it) for it in self._waiting],
            "history": {
                number: [list(past.times_s), [row.tolist() for row in past.rows]]
                for number, past in self._history.items()
            },
            "chooser": self._chooser.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._waiting = deque(
            _Waiting(TrackedFrame.of(it["followed"]), np.array(it["rows"], np.float32), it["ids"])
            for it in state["waiting"]
        )
        self._history = {
            int(number): _History(times, [np.array(row, np.float32) for row in rows])
            for number, (times, rows) in state["history"].items()
        }
        self._chooser.restore(state["chooser"])

    def _crops(self) -> int:
        return sum(len(followed.crops) for followed in self._unread)

    def _is_early(self) -> bool:
        """Whether no result is held up by waiting for a fuller batch."""
        return self._unread[-1].moment.time_s - self._unread[0].moment.time_s < self._delay_s

    def _learn(self, ids: dict[int, int]) -> None:
        """Give the faces that were confirmed by now their person's number, in the pictures before too."""
        for it in self._waiting:
            it.ids = [
                known or ids.get(number) for known, number in zip(it.ids, it.followed.numbers, strict=True)
            ]

    def _ask(self) -> None:
        """Ask the model about all faces that it was not asked about, at once."""
        crops = [crop for followed in self._unread for crop in followed.crops]
        rows = self._predictor.predict(np.stack(crops)) if crops else np.zeros((0, 0), np.float32)
        # A face may be confirmed and, behind a cut, be gone again, all within a batch.
        known = {number: person for followed in self._unread for number, person in followed.ids.items()}
        start = 0
        for followed in self._unread:
            own = rows[start : start + len(followed.crops)]
            start += len(followed.crops)
            for number, row in zip(followed.numbers, own, strict=True):
                past = self._history.setdefault(number, _History())
                past.times_s.append(followed.moment.time_s)
                past.rows.append(row)
            self._waiting.append(_Waiting(followed, own, [known.get(number) for number in followed.numbers]))
        self._unread = []

    def _tell(self, it: _Waiting) -> AnalyzedFrame:
        """The result of a picture, now that what is around it is known."""
        followed = it.followed
        faces = []
        for i, person in enumerate(it.ids):
            smooth = self._smoothed(followed.numbers[i], followed.moment.time_s, it.rows[i])
            if person is not None:
                raw, face = self._face(followed, i, it.rows[i]), self._face(followed, i, smooth)
                faces.append(TrackedFace(person, face, raw, followed.detected))
        faces.sort(key=lambda face: -face.box[2] * face.box[3])
        chosen = self._chooser.choose(followed.moment.time_s, faces)
        mine = {face.id for face in chosen}
        others = [d.box for d, person in zip(followed.detections, it.ids, strict=True) if person not in mine]
        people = dict(zip(followed.numbers, it.ids, strict=True))
        pictured = ((people[number], pixels) for number, pixels in followed.thumbnails.items())
        return AnalyzedFrame(
            FrameResult(self._source, followed.moment.index, followed.moment.time_s, tuple(chosen)),
            followed.picture,
            (*others, *(box for person, box in followed.vanished.items() if person != self._chooser.person)),
            {person: pixels for person, pixels in pictured if person in mine and person is not None},
        )

    def _face(self, followed: TrackedFrame, i: int, row: Rows) -> Face:
        found = followed.detections[i]
        return read_face(
            row, self._head, box=found.box, confidence=found.confidence, keypoints=found.keypoints
        )

    def _smoothed(self, number: int, time_s: float, row: Rows) -> Rows:
        if self._live:
            self._causal = {
                other: causal
                for other, causal in self._causal.items()
                if causal.time_s is not None and time_s - causal.time_s <= self._how.gap_s
            }
            return self._causal.setdefault(number, CausalSmoother(self._how)).step(time_s, row)
        past = self._history[number]
        return centred(past.times_s, np.stack(past.rows), past.times_s.index(time_s), self._how)

    def _forget(self) -> None:
        """Let go of what no picture that is waiting can reach any more."""
        oldest_s = self._waiting[0].followed.moment.time_s if self._waiting else float("inf")
        for number, past in list(self._history.items()):
            while past.times_s and past.times_s[0] < oldest_s - self._how.reach_s:
                del past.times_s[0], past.rows[0]
            if not past.times_s:
                del self._history[number]


def _plain(it: _Waiting) -> dict[str, Any]:
    return {"followed": it.followed.plain(), "rows": it.rows.tolist(), "ids": it.ids}
