"""Detects the faces in each frame of a clip, running the detector on as few frames as possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Detection, Detector, iou
from mien.video.frame import Frame

# Faces at both ends of a skipped stretch correspond if each overlaps one by so much, and all others hardly.
_SAME, _OTHER = 0.5, 0.1


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """A frame with its faces.

    Attributes:
        frame: the frame.
        gray: its luma (H, W).
        detections: its faces, in pixels of the frame.
        detected: whether the detector ran on this frame; otherwise the faces are interpolated.
        cut: whether it begins a new scene.
        reduced: the frame as the detector got it, RGB; None where it did not run.
        settled: whether no earlier frame waits for its faces, so that a run can resume behind this one.
    """

    frame: Frame
    gray: NDArray[np.uint8]
    detections: tuple[Detection, ...] = ()
    detected: bool = False
    cut: bool = False
    reduced: NDArray[np.uint8] | None = None
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
        self._scene: int | None = None

    def resume(self, frame: Frame, detections: tuple[Detection, ...]) -> None:
        """Continue behind a settled frame whose faces are known from an earlier run."""
        self._scene = frame.scene
        self._last = (frame.position.time_s, detections)

    def feed(self, frame: Frame) -> list[DetectedFrame]:
        """Take the next frame; returns those that are done, in order, which may be none."""
        gray, time_s = frame.gray(), frame.position.time_s
        cut = self._scene is not None and frame.scene != self._scene
        self._scene = frame.scene
        done = self._settle() if cut else []
        if cut:
            self._last = None
        before_s = self._waiting[-1].frame.position.time_s if self._waiting else self._last and self._last[0]
        step_s = time_s - before_s if before_s is not None else 0.0
        self._waiting.append(DetectedFrame(frame, gray, cut=cut))
        if self._last is None or _is_due(time_s, step_s, self._last[0], self._interval_s):
            done += self._settle()
        return done

    def finish(self) -> list[DetectedFrame]:
        """The frames that were still waiting when the clip ended."""
        return self._settle()

    def _settle(self) -> list[DetectedFrame]:
        """Run the detector on the last frame that waits, and find the faces of the others."""
        if not self._waiting:
            return []
        *between, end = self._waiting
        self._waiting = []
        end = replace(self._detect(end), settled=True)
        end_s, faces = end.frame.position.time_s, end.detections
        pairs = None if self._last is None else _corresponding(self._last[1], faces)
        if pairs is None:
            done = [self._detect(it) for it in between]
        else:
            start_s = self._last[0] if self._last else 0.0
            share = [(it.frame.position.time_s - start_s) / (end_s - start_s) for it in between]
            done = [
                replace(it, detections=tuple(_between(*pair, s) for pair in pairs))
                for it, s in zip(between, share, strict=True)
            ]
        self._last = (end_s, faces)
        return [*done, end]

    def _detect(self, it: DetectedFrame) -> DetectedFrame:
        reduced = it.frame.rgb(self._detector_size)
        across, down = it.frame.size[0] / reduced.shape[1], it.frame.size[1] / reduced.shape[0]
        faces = tuple(_scaled(detection, across, down) for detection in self._detector.detect(reduced))
        return replace(it, detections=faces, detected=True, reduced=reduced)


def due_s(times_s: Iterable[float], interval_s: float) -> Iterator[float]:
    """Of the times of all frames of a scene, yields those of the frames on which the detector runs."""
    last_s = before_s = None
    for time_s in times_s:
        if last_s is None or before_s is None or _is_due(time_s, time_s - before_s, last_s, interval_s):
            yield time_s
            last_s = time_s
        before_s = time_s


def _is_due(time_s: float, step_s: float, last_s: float, interval_s: float) -> bool:
    """Whether the next frame, a step later, would come too late."""
    return time_s + step_s / 2 >= last_s + interval_s


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
