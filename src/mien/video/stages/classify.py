"""Tracked faces in, the model's probabilities for each out, and whether it is covered or moved."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np

from mien.detection.face_check import FaceCheck
from mien.models.onnx import OnnxClassifier
from mien.video.stages.track import TrackedFrame

# The model gets so many faces at once, or more: a face in a batch of 8 costs a fifth less than alone.
_BATCH = 8
# No frame waits longer than that for a fuller batch, in seconds of the clip.
_LONGEST_WAIT_S = 0.5


class ClassifyStage:
    """Runs the model and the face check on tracked faces in batches.

    A batch ends with a frame behind which a run can resume, so that a resumed run has the same batches.

    Args:
        classifier: its `rows` of gray faces (N, S, S) are what `mien.inference.face.read_face` takes.
        face_check: completes the quality of each face.
        live: give each frame back at once.
    """

    def __init__(self, classifier: OnnxClassifier, face_check: FaceCheck, *, live: bool = False) -> None:
        self._classifier, self._face_check, self._live = classifier, face_check, live
        self._waiting: list[TrackedFrame] = []

    def feed(self, tracked: TrackedFrame) -> list[TrackedFrame]:
        """Take the next frame; returns a whole batch with its probabilities, or nothing."""
        self._waiting.append(tracked)
        first = self._waiting[0].record.position
        full = sum(len(it.crops) for it in self._waiting) >= _BATCH
        late = tracked.record.position.time_s - first.time_s >= _LONGEST_WAIT_S
        return self.finish() if self._live or (tracked.settled and (full or late)) else []

    def finish(self) -> list[TrackedFrame]:
        """The frames that were still waiting."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return []
        crops = [crop for tracked in batch for crop in tracked.crops]
        rows = self._classifier.rows(np.stack(crops)) if crops else np.zeros((0, 0), np.float32)
        ends = np.cumsum([len(tracked.crops) for tracked in batch])[:-1]
        qualities = iter(
            self._face_check.complete(
                [quality for tracked in batch for quality in tracked.record.qualities],
                [crop for tracked in batch for crop in tracked.checked],
            )
        )
        done = []
        for tracked, own in zip(batch, np.split(rows, ends), strict=True):
            seen = tuple(islice(qualities, len(tracked.crops)))
            record = replace(tracked.record, probabilities=own, qualities=seen)
            done.append(replace(tracked, record=record, crops=(), checked=()))
        return done
