"""Pictures of a clip in, followed faces and their crops out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mien.geometry import Box, Detection
from mien.images.crop import crop_face, sample_square
from mien.models.card import Framing
from mien.video.frame import VideoFrame
from mien.video.reader import FramePosition
from mien.video.serialization import detection_of, pixels_of, plain_detection, plain_pixels
from mien.video.stages.detect import DetectedFrame, DetectStage
from mien.video.tracker import Track, Tracker, appearance_of

# A face that the picture does not show is still blurred where it should be for so long.
_VANISHED_S = 0.5
# A face is pictured for the timeline at most so often, with so much around it, and so large.
_THUMBNAIL_S, _THUMBNAIL_AROUND, _THUMBNAIL_SIDE = 0.5, 1.25, 72


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A picture with its faces followed, before the model was asked.

    Attributes:
        moment: which picture it is.
        picture: the picture itself, where it is wanted later.
        numbers: of the tracks, one a face.
        detections, detected: as in `DetectedFrame`.
        crops: the faces as the model takes them, one a face.
        ids: numbers of the tracks that are confirmed by now -> their person's number.
        vanished: person's number to where their face should be, which this picture does not show.
        thumbnails: track number to a small RGB picture.
        state: all that is needed to go on behind this picture in another process, where asked for.
    """

    moment: FramePosition
    picture: VideoFrame | None
    numbers: tuple[int, ...]
    detections: tuple[Detection, ...]
    detected: bool
    crops: tuple[NDArray[np.uint8], ...]
    ids: dict[int, int]
    vanished: dict[int, Box] = field(default_factory=dict)
    thumbnails: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    state: dict[str, Any] | None = None

    def plain(self) -> dict[str, Any]:
        """What a `ClassifyStage` still needs once it has asked the model, as plain values for JSON."""
        return {
            "moment": [self.moment.index, self.moment.time_s, self.moment.pts],
            "numbers": self.numbers,
            "detections": [plain_detection(found) for found in self.detections],
            "detected": self.detected,
            "vanished": self.vanished,
            "thumbnails": {number: plain_pixels(pixels) for number, pixels in self.thumbnails.items()},
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Self:
        """The picture of `plain`, without what is no longer needed."""
        return cls(
            moment=FramePosition(*plain["moment"]),
            picture=None,
            numbers=tuple(plain["numbers"]),
            detections=tuple(map(detection_of, plain["detections"])),
            detected=plain["detected"],
            crops=(),
            ids={},
            vanished={int(person): tuple(box) for person, box in plain["vanished"].items()},
            thumbnails={int(number): pixels_of(pixels) for number, pixels in plain["thumbnails"].items()},
        )


class TrackStage:
    """Finds, follows and crops the faces of a clip's pictures, fed one at a time.

    Args:
        finder: finds the faces of each picture.
        framing, size, align: of the crops, as `crop_face` takes them.
        keep_pictures: hand the pictures on, for those who draw on them.
        thumbnails: make small pictures of the faces now and then.
        state_interval: hand on the state behind every so many pictures; never for None.
    """

    def __init__(
        self,
        finder: DetectStage,
        framing: Framing,
        size: int,
        *,
        align: bool = False,
        keep_pictures: bool = False,
        thumbnails: bool = False,
        state_interval: int | None = None,
    ) -> None:
        self._finder = finder
        self._tracker = Tracker()
        self._framing, self._size, self._align = framing, size, align
        self._keep_pictures, self._thumbnails = keep_pictures, thumbnails
        self._state_interval, self._since_state = state_interval, 0
        self._pictured_s: dict[int, float] = {}

    def feed(self, frame: VideoFrame) -> list[TrackedFrame]:
        """Take the next picture; gives those that are done, in order, which may be none."""
        return self._follow_all(self._finder.feed(frame))

    def finish(self) -> list[TrackedFrame]:
        """The pictures that were still waiting when the clip ended; the last one's `ids` are final."""
        return self._follow_all(self._finder.finish())

    def last_ids(self) -> dict[int, int]:
        """At the end of the clip: track numbers to persons' numbers, the last doubts settled."""
        self._tracker.finish()
        return _ids(self._tracker.tracks)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `TrackedFrame.state`."""
        self._finder.restore(state["finder"])
        self._tracker.restore(state["tracker"])
        self._pictured_s = {int(number): time_s for number, time_s in state["pictured_s"].items()}

    def _follow_all(self, found: list[DetectedFrame]) -> list[TrackedFrame]:
        self._since_state += len(found)
        due = (
            self._state_interval is not None
            and self._since_state >= self._state_interval
            and self._finder.idle
        )
        return [self._follow(it, due and it is found[-1]) for it in found]

    def _follow(self, found: DetectedFrame, with_state: bool) -> TrackedFrame:
        frame = found.frame
        crops = tuple(
            crop_face(found.gray, detection, self._framing, size=self._size, align=self._align)
            for detection in found.detections
        )
        tracks = self._tracker.update(
            frame.time_s,
            [detection.box for detection in found.detections],
            [appearance_of(crop) for crop in crops],
            cut=found.cut,
        )
        return TrackedFrame(
            moment=FramePosition(frame.index, frame.time_s, frame.pts),
            picture=frame if self._keep_pictures else None,
            numbers=tuple(track.number for track in tracks),
            detections=found.detections,
            detected=found.detected,
            crops=crops,
            ids=_ids(self._tracker.tracks),
            vanished=self._tracker.unseen(frame.time_s, _VANISHED_S),
            thumbnails=self._picture(frame, tracks) if self._thumbnails else {},
            state=self._state() if with_state else None,
        )

    def _state(self) -> dict[str, Any]:
        self._since_state = 0
        return {
            "finder": self._finder.state(),
            "tracker": self._tracker.state(),
            "pictured_s": dict(self._pictured_s),
        }

    def _picture(self, frame: VideoFrame, tracks: list[Track]) -> dict[int, NDArray[np.uint8]]:
        """Small pictures of the faces that have not been pictured for a while."""
        due = [t for t in tracks if frame.time_s - self._pictured_s.get(t.number, -1e9) >= _THUMBNAIL_S]
        alive = {track.number for track in self._tracker.tracks}
        self._pictured_s = {number: s for number, s in self._pictured_s.items() if number in alive}
        if not due:
            return {}
        pixels = frame.rgb()
        made = {}
        for track in due:
            x, y, width, height = track.box
            side = max(width, height) * _THUMBNAIL_AROUND
            left, top = x + (width - side) / 2, y + (height - side) / 2
            made[track.number] = np.asarray(sample_square(pixels, left, top, side, _THUMBNAIL_SIDE))
            self._pictured_s[track.number] = frame.time_s
        return made


def _ids(tracks: list[Track]) -> dict[int, int]:
    return {track.number: track.face_id for track in tracks if track.face_id is not None}
