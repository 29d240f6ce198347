"""Detects the faces in each frame of a clip, running the detector on as few frames as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Detection, Detector, iou
from mien.video.frame import Frame

# Faces at both ends of a skipped stretch correspond if each overlaps one by so much, and all others hardly.
_SAME, _OTHER = 0.5, 0.1
# The scene is cut where 32 x 18 pixels of the frame change by so many grey levels on average. A fast pan
# stays below; a flash may not, and costs little: behind a cut, faces that did not move keep their identity.
_CUT_LEVELS = 28.0
_SAMPLED = (18, 32)


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """A frame with its faces.

    Attributes:
        frame: the frame.
        gray: its luma (H, W).
        detections: its faces, in pixels of the frame.
        detected: whether the detector ran on this frame; otherwise the faces are interpolated.
        cut: whether it begins a new scene.
        settled: whether no earlier frame waits for its faces, so that a run can resume behind this one.
    """

    frame: Frame
    gray: NDArray[np.uint8]
    detections: tuple[Detection, ...] = ()
    detected: bool = False
    cut: bool = False
    settled: bool = False


class DetectStage:
    """Detects faces in a clip's frames, fed one at a time.

    The detector runs on one frame per `interval_s`, on the last before a cut and on the first behind it. If
    the faces of two such frames correspond one to one, those between are interpolated; if not (somebody
    came, left, moved fast or came near another), the detector runs on each frame between.

    Args:
        detector: the detector.
        interval_s: 0 runs the detector on every frame and gives each back at once.
        detector_size: the longest side of the detector's input, in pixels.
    """

    def __init__(self, detector: Detector, *, interval_s: float = 0.1, detector_size: int = 640) -> None:
        self._detector = detector
        self._interval_s = interval_s
        self._detector_size = detector_size
        self._last: tuple[float, tuple[Detection, ...]] | None = None
        self._waiting: list[DetectedFrame] = []
        self._sample: NDArray[np.int16] | None = None

    def resume(self, frame: Frame, detections: tuple[Detection, ...]) -> None:
        """Continue behind a settled frame whose faces are known from an earlier run."""
        self._is_cut(frame.gray())
        self._last = (frame.position.time_s, detections)

    def feed(self, frame: Frame) -> list[DetectedFrame]:
        """Take the next frame; returns those that are done, in order, which may be none."""
        gray, time_s = frame.gray(), frame.position.time_s
        cut = self._is_cut(gray)
        done = self._settle() if cut else []
        if cut:
            self._last = None
        before_s = self._waiting[-1].frame.position.time_s if self._waiting else self._last and self._last[0]
        step_s = time_s - before_s if before_s is not None else 0.0
        self._waiting.append(DetectedFrame(frame, gray, cut=cut))
        # Due now if the next frame would come too late.
        if self._last is None or time_s + step_s / 2 >= self._last[0] + self._interval_s:
            done += self._settle()
        return done

    def finish(self) -> list[DetectedFrame]:
        """The frames that were still waiting when the clip ended."""
        return self._settle()

    def _is_cut(self, gray: NDArray[np.uint8]) -> bool:
        rows = np.linspace(0, gray.shape[0] - 1, _SAMPLED[0]).astype(int)
        columns = np.linspace(0, gray.shape[1] - 1, _SAMPLED[1]).astype(int)
        sample = gray[np.ix_(rows, columns)].astype(np.int16)
        before, self._sample = self._sample, sample
        return before is not None and float(np.abs(sample - before).mean()) > _CUT_LEVELS

    def _settle(self) -> list[DetectedFrame]:
        """Run the detector on the last frame that waits, and find the faces of the others."""
        if not self._waiting:
            return []
        *between, end = self._waiting
        self._waiting = []
        end_s, faces = end.frame.position.time_s, self._detect(end.frame)
        pairs = None if self._last is None else _corresponding(self._last[1], faces)
        if pairs is None:
            done = [replace(it, detections=self._detect(it.frame), detected=True) for it in between]
        else:
            start_s = self._last[0] if self._last else 0.0
            share = [(it.frame.position.time_s - start_s) / (end_s - start_s) for it in between]
            done = [
                replace(it, detections=tuple(_between(*pair, s) for pair in pairs))
                for it, s in zip(between, share, strict=True)
            ]
        self._last = (end_s, faces)
        return [*done, replace(end, detections=faces, detected=True, settled=True)]

    def _detect(self, frame: Frame) -> tuple[Detection, ...]:
        small = frame.rgb(self._detector_size)
        across, down = frame.size[0] / small.shape[1], frame.size[1] / small.shape[0]
        return tuple(_scaled(detection, across, down) for detection in self._detector.detect(small))


def _corresponding(
    before: Sequence[Detection], after: Sequence[Detection]
) -> list[tuple[Detection, Detection]] | None:
    """The faces of two frames in pairs, or None where it is not plain which is which."""
    if len(before) != len(after):
        return None
    pairs = []
    for old in before:
        overlaps = sorted(((iou(old.box, new.box), i) for i, new in enumerate(after)), reverse=True)
        if overlaps[0][0] < _SAME or (len(overlaps) > 1 and overlaps[1][0] > _OTHER):
            return None
        pairs.append((old, after[overlaps[0][1]]))
    return pairs if len({id(new) for _, new in pairs}) == len(pairs) else None


def _between(start: Detection, end: Detection, share: float) -> Detection:
    """The face on its way from one frame to the other."""

    def blend(a: Any, b: Any) -> Any:
        return a + (b - a) * share

    x, y, width, height = (blend(a, b) for a, b in zip(start.box, end.box, strict=True))
    known = start.keypoints is not None and end.keypoints is not None
    keypoints = blend(start.keypoints, end.keypoints).astype(np.float32) if known else None
    return Detection((x, y, width, height), blend(start.confidence, end.confidence), keypoints)


def _scaled(detection: Detection, across: float, down: float) -> Detection:
    if across == down == 1:
        return detection
    x, y, width, height = detection.box
    keypoints = detection.keypoints
    if keypoints is not None:
        keypoints = keypoints * np.array([across, down], np.float32)
    return Detection((x * across, y * down, width * across, height * down), detection.confidence, keypoints)
