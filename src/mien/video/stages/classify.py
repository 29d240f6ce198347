"""Tracked faces in, the model's probabilities for each out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mien.models.onnx import OnnxClassifier
from mien.video.stages.track import TrackedFrame

# The model gets so many faces at once, or more: a face in a batch of 8 costs a fifth less than alone.
_BATCH = 8
# No frame waits longer than that for a fuller batch, in seconds of the clip.
_LONGEST_WAIT_S = 0.5


class ClassifyStage:
    """Runs the model on tracked faces in batches.

    A batch ends with a frame behind which a run can resume, so that a resumed run has the same batches.

    Args:
        classifier: its `rows` of gray faces (N, S, S) are what `mien.inference.face.read_face` takes.
        live: give each frame back at once.
    """

    def __init__(self, classifier: OnnxClassifier, *, live: bool = False) -> None:
        self._classifier, self._live = classifier, live
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
        return [
            replace(tracked, record=replace(tracked.record, probabilities=own), crops=())
            for tracked, own in zip(batch, np.split(rows, ends), strict=True)
        ]
