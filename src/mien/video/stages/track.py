"""Detected faces in, tracked faces and their crops out."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.detection.face_check import check_crops
from mien.geometry import Box, Detection
from mien.images.crop import brightened, face_square, sample_square
from mien.images.quality import Quality, quality_of
from mien.models.card import Framing
from mien.movements.measures import Movements
from mien.video.frame import Frame, FramePosition
from mien.video.stages.detect import DetectedFrame
from mien.video.tracking.people import People
from mien.video.tracking.portrait import Portrait, portrait_of
from mien.video.tracking.tracker import Tracker, appearance_of, shrink

# The movements of faces in an image.
Measure: TypeAlias = Callable[[NDArray[np.uint8], Sequence[Detection]], tuple[Movements | None, ...] | None]
# The place of a face that is not seen any more is still blurred for so long.
_HIDE_UNSEEN_S = 1.0
# A thumbnail of a face is taken at most so often, with so much around the box, and so large.
_THUMBNAIL_S, _THUMBNAIL_AROUND, _THUMBNAIL_SIDE = 0.5, 1.25, 72


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """What is expensive to find out about a frame; all results follow from a clip's records.

    Attributes:
        position: which frame it is.
        detections: its faces, in pixels of the frame.
        detected: whether the detector ran on this frame; otherwise the faces are interpolated.
        cut: whether it begins a new scene.
        small: each face's crop as 8 x 8 grey values, uint8 (8, 8), for `appearance_of`.
        portraits: what each face looks like; None where the detector did not run.
        qualities: how well each face can be seen; without `covered` and `moved` until they were checked.
        probabilities: float32 (N, C), one row per face; (0, 0) until the model has run.
        thumbnails: face's index to a small JPEG of it.
        movements: of each face, None for one without landmarks; None if they are not asked for.
    """

    position: FramePosition
    detections: tuple[Detection, ...]
    detected: bool
    cut: bool
    small: tuple[NDArray[np.uint8], ...]
    portraits: tuple[Portrait | None, ...]
    qualities: tuple[Quality, ...]
    probabilities: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    thumbnails: dict[int, bytes] = field(default_factory=dict)
    movements: tuple[Movements | None, ...] | None = None


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame with its faces tracked.

    Attributes:
        record: what was found.
        numbers: of the tracks, one per face.
        changes: by how many gray levels each face differs from the first of its track.
        ids: numbers of the tracks that are confirmed by now -> their person's number.
        vanished: person's number to where their face should be, which this frame does not show.
        crops, checked: the input of the model and of the face check, one per face; empty once both ran.
        frame: the frame itself, where it is wanted later.
        settled: as in `DetectedFrame`.
    """

    record: FrameRecord
    numbers: tuple[int, ...]
    changes: tuple[float, ...]
    ids: dict[int, int]
    vanished: dict[int, Box]
    crops: tuple[NDArray[np.uint8], ...] = ()
    checked: tuple[NDArray[np.uint8], ...] = ()
    frame: Frame | None = None
    settled: bool = False


class TrackStage:
    """Crops and tracks the faces of a clip's frames, fed one at a time.

    Attributes:
        measure: as the argument; it may change between two frames.

    Args:
        framing, size, align: of the crops, as `face_square` takes them.
        keep_frames: hand the frames on, for drawing on them.
        thumbnails: take small images of the faces now and then.
        people: numbers people.
        measure: the movements of faces in RGB pixels, as `Analyzer.measure`; None for none.
    """

    def __init__(
        self,
        framing: Framing,
        size: int,
        *,
        people: People,
        align: bool = False,
        keep_frames: bool = False,
        thumbnails: bool = False,
        measure: Measure | None = None,
    ) -> None:
        self._tracker = Tracker(people=people)
        self._framing, self._size, self._align = framing, size, align
        self._keep_frames, self._thumbnails = keep_frames, thumbnails
        self._thumbnail_s: dict[int, float] = {}
        self.measure = measure

    def feed(self, found: DetectedFrame) -> TrackedFrame:
        """Track the faces of the next frame."""
        squares = [
            face_square(found.gray, detection, self._framing, size=self._size, align=self._align)
            for detection in found.detections
        ]
        crops = tuple(map(brightened, squares))
        pairs = zip(found.detections, squares, strict=True)
        record = FrameRecord(
            found.frame.position,
            found.detections,
            found.detected,
            found.cut,
            tuple(map(shrink, crops)),
            _portraits(found, crops),
            tuple(quality_of(detection, square, *found.frame.size) for detection, square in pairs),
            movements=self._movements(found),
        )
        tracked = track_record(self._tracker, record)
        if self._thumbnails:
            record.thumbnails.update(self._thumbnails_of(found.frame, tracked))
        frame = found.frame if self._keep_frames else None
        checked = tuple(check_crops(found.gray, found.detections, squares, self._framing))
        return replace(tracked, crops=crops, checked=checked, frame=frame, settled=found.settled)

    def replay(self, record: FrameRecord) -> TrackedFrame:
        """Track the faces of a frame that an earlier run recorded."""
        tracked = track_record(self._tracker, record)
        self._thumbnail_s |= {tracked.numbers[face]: record.position.time_s for face in record.thumbnails}
        return tracked

    def finish(self) -> dict[int, int]:
        """At the end of the clip: as `final_ids`."""
        return final_ids(self._tracker)

    def _movements(self, found: DetectedFrame) -> tuple[Movements | None, ...] | None:
        """Those of a frame's faces; only a frame with faces is converted to RGB."""
        if self.measure is None or not found.detections:
            return None if self.measure is None else ()
        return self.measure(found.frame.rgb(), found.detections)

    def _thumbnails_of(self, frame: Frame, tracked: TrackedFrame) -> dict[int, bytes]:
        """Small images of the faces that have had none for a while."""
        time_s = frame.position.time_s
        alive = {track.number for track in self._tracker.tracks}
        self._thumbnail_s = {number: s for number, s in self._thumbnail_s.items() if number in alive}
        due = [
            face
            for face, number in enumerate(tracked.numbers)
            if time_s - self._thumbnail_s.get(number, -1e9) >= _THUMBNAIL_S
        ]
        if not due:
            return {}
        self._thumbnail_s |= {tracked.numbers[face]: time_s for face in due}
        pixels = frame.rgb()
        return {face: _thumbnail(pixels, tracked.record.detections[face].box) for face in due}


def track_record(tracker: Tracker, record: FrameRecord) -> TrackedFrame:
    """A recorded frame with its faces tracked; `tracker` has seen all frames before it."""
    time_s = record.position.time_s
    boxes = [detection.box for detection in record.detections]
    appearances = [appearance_of(small) for small in record.small]
    tracks = tracker.update(time_s, boxes, appearances, record.portraits, cut=record.cut)
    numbers = tuple(track.number for track in tracks)
    changes = tuple(track.change_from_first(small) for track, small in zip(tracks, record.small, strict=True))
    return TrackedFrame(record, numbers, changes, _ids(tracker), tracker.unseen(time_s, _HIDE_UNSEEN_S))


def final_ids(tracker: Tracker) -> dict[int, int]:
    """At the end of a clip: track numbers to persons' numbers, the last doubts settled."""
    tracker.finish()
    return _ids(tracker)


def _ids(tracker: Tracker) -> dict[int, int]:
    tracks = (*tracker.ended, *tracker.tracks)
    return {track.number: track.face_id for track in tracks if track.face_id is not None}


def _portraits(found: DetectedFrame, crops: Sequence[NDArray[np.uint8]]) -> tuple[Portrait | None, ...]:
    """The portraits of a frame's faces; None where the detector did not run."""
    if found.reduced is None:
        return (None,) * len(crops)
    height, width = found.reduced.shape[:2]
    across, down = width / found.frame.size[0], height / found.frame.size[1]
    boxes = [(x * across, y * down, w * across, h * down) for x, y, w, h in (d.box for d in found.detections)]
    return tuple(portrait_of(crop, found.reduced, box) for crop, box in zip(crops, boxes, strict=True))


def _thumbnail(pixels: NDArray[np.uint8], box: Box) -> bytes:
    x, y, width, height = box
    side = max(width, height) * _THUMBNAIL_AROUND
    left, top = x + (width - side) / 2, y + (height - side) / 2
    file = io.BytesIO()
    sample_square(pixels, left, top, side, _THUMBNAIL_SIDE).save(file, "JPEG", quality=90)
    return file.getvalue()
