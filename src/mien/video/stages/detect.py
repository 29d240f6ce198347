"""Finds the faces in every picture of a clip, asking the detector no more often than it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Detection, Detector, iou
from mien.video.frame import VideoFrame
from mien.video.serialization import detection_of, plain_detection

# Faces at both ends of a skipped stretch correspond if each overlaps one by so much, and all others hardly.
_SAME, _OTHER = 0.5, 0.1
# The picture is cut where 32 x 18 of its pixels change by so many grey levels on average. A fast pan stays
# below; a flash may not, and costs little: behind a cut, faces that did not move keep their identity.
_CUT_LEVELS = 28.0
_GLANCE = (18, 32)


@dataclass(frozen=True, eq=False)
class DetectedFrame:
    """A picture with its faces.

    Attributes:
        frame: the picture.
        gray: its luma (H, W).
        detections: its faces, in pixels of the picture.
        detected: whether the detector was asked; else the faces lie between those of two other pictures.
        cut: whether it begins a new scene.
    """

    frame: VideoFrame
    gray: NDArray[np.uint8]
    detections: tuple[Detection, ...] = ()
    detected: bool = False
    cut: bool = False


class DetectStage:
    """Finds faces in a clip's pictures, fed one at a time.

    The detector is asked about one picture in `interval_s`, and about the last before a cut and the first
    behind it. If the faces of two such pictures correspond one to one, those between lie between them; if
    not (somebody came, left, moved fast or came near another), it is asked about each picture between.

    Args:
        detector: the detector.
        interval_s: 0 asks about every picture and gives each back at once.
        detector_size: the longest side, in pixels, of the picture that the detector is given.
    """

    def __init__(self, detector: Detector, *, interval_s: float = 0.1, detector_size: int = 640) -> None:
        self._detector = detector
        self._interval_s = interval_s
        self._detector_size = detector_size
        self._last: tuple[float, tuple[Detection, ...]] | None = None
        self._waiting: list[DetectedFrame] = []
        self._glance: NDArray[np.int16] | None = None
        self._step_s = 0.0

    def feed(self, frame: VideoFrame) -> list[DetectedFrame]:
        """Take the next picture; gives those that are done, in order, which may be none."""
        gray = frame.gray()
        cut = self._is_cut(gray)
        done = self._settle() if cut else []
        if cut:
            self._last = None
        before_s = self._waiting[-1].frame.time_s if self._waiting else self._last and self._last[0]
        self._step_s = frame.time_s - before_s if before_s is not None else 0.0
        self._waiting.append(DetectedFrame(frame, gray, cut=cut))
        # Due now if the next picture would come too late.
        if self._last is None or frame.time_s + self._step_s / 2 >= self._last[0] + self._interval_s:
            done += self._settle()
        return done

    def finish(self) -> list[DetectedFrame]:
        """The pictures that were still waiting when the clip ended."""
        return self._settle()

    @property
    def idle(self) -> bool:
        """Whether no picture is waiting, so that `state` is all there is."""
        return not self._waiting

    def state(self) -> dict[str, Any]:
        """What is needed to go on behind the last picture, as plain values for JSON."""
        last = self._last and [self._last[0], [plain_detection(found) for found in self._last[1]]]
        return {"last": last, "glance": None if self._glance is None else self._glance.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._last = state["last"] and (state["last"][0], tuple(map(detection_of, state["last"][1])))
        self._glance = None if state["glance"] is None else np.array(state["glance"], dtype=np.int16)

    def _is_cut(self, gray: NDArray[np.uint8]) -> bool:
        rows = np.linspace(0, gray.shape[0] - 1, _GLANCE[0]).astype(int)
        columns = np.linspace(0, gray.shape[1] - 1, _GLANCE[1]).astype(int)
        glance = gray[np.ix_(rows, columns)].astype(np.int16)
        before, self._glance = self._glance, glance
        return before is not None and float(np.abs(glance - before).mean()) > _CUT_LEVELS

    def _settle(self) -> list[DetectedFrame]:
        """Ask about the last picture that is waiting, and work out the faces of the others."""
        if not self._waiting:
            return []
        *between, end = self._waiting
        self._waiting = []
        faces = self._detect(end.frame)
        pairs = None if self._last is None else _corresponding(self._last[1], faces)
        if pairs is None:
            done = [replace(it, detections=self._detect(it.frame), detected=True) for it in between]
        else:
            start_s = self._last[0] if self._last else 0.0
            share = [(it.frame.time_s - start_s) / (end.frame.time_s - start_s) for it in between]
            done = [
                replace(it, detections=tuple(_between(*pair, s) for pair in pairs))
                for it, s in zip(between, share, strict=True)
            ]
        self._last = (end.frame.time_s, faces)
        return [*done, replace(end, detections=faces, detected=True)]

    def _detect(self, frame: VideoFrame) -> tuple[Detection, ...]:
        small = frame.rgb(self._detector_size)
        across, down = frame.size[0] / small.shape[1], frame.size[1] / small.shape[0]
        return tuple(_scaled(found, across, down) for found in self._detector.detect(small))


def _corresponding(
    before: Sequence[Detection], after: Sequence[Detection]
) -> list[tuple[Detection, Detection]] | None:
    """The faces of two pictures in pairs, or None where it is not plain which is which."""
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
    """The face on its way from one picture to the other."""

    def mix(a: Any, b: Any) -> Any:
        return a + (b - a) * share

    x, y, width, height = (mix(a, b) for a, b in zip(start.box, end.box, strict=True))
    known = start.keypoints is not None and end.keypoints is not None
    keypoints = mix(start.keypoints, end.keypoints).astype(np.float32) if known else None
    return Detection((x, y, width, height), mix(start.confidence, end.confidence), keypoints)


def _scaled(found: Detection, across: float, down: float) -> Detection:
    if across == down == 1:
        return found
    x, y, width, height = found.box
    keypoints = None if found.keypoints is None else found.keypoints * np.array([across, down], np.float32)
    return Detection((x * across, y * down, width * across, height * down), found.confidence, keypoints)
