"""Frames of a clip as JPEGs, for browsers that cannot play it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from mien.errors import UsageError
from mien.names import shown
from mien.video.frame import VideoFrame
from mien.video.opening import open_video
from mien.video.reader import Video

_QUALITY, _SIDE = 85, 1280
# A frame that is at most so far ahead is reached by decoding on; for any other, the clip is opened again.
_AHEAD_S = 2.0
_ROUNDING_S = 1e-3


class FrameReader:
    """Reads frames of a clip in any order; quickly, if each is a little later than the one before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._video: Video | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._now: VideoFrame | None = None
        self._next: VideoFrame | None = None

    def jpeg(self, time_s: float) -> bytes:
        """The frame that is shown at a time, as JPEG with at most 1280 pixels per side.

        Raises:
            ImageError: the clip cannot be read.
            UsageError: it has no frame then.
        """
        self._go_to(time_s + _ROUNDING_S)
        if self._now is None:
            raise UsageError(f"{shown(self._path)} has no frame at {time_s:g} s.")
        file = io.BytesIO()
        Image.fromarray(self._now.rgb(_SIDE)).save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()

    def close(self) -> None:
        """Close the clip."""
        if self._video is not None:
            self._video.close()
        self._video = self._now = self._next = None

    def _go_to(self, time_s: float) -> None:
        now = self._now
        if self._video is None or now is None or not now.time_s <= time_s < now.time_s + _AHEAD_S:
            self._open(time_s)
        while self._next is not None and self._next.time_s <= time_s:
            self._now, self._next = self._next, next(self._frames, None)

    def _open(self, time_s: float) -> None:
        """Open the clip a little before a time, so that the frame that is shown then is among the first."""
        self.close()
        self._video = open_video(self._path)
        start_s = max(0.0, time_s - 1.0)
        if self._video.duration_s is not None:
            start_s = min(start_s, max(0.0, self._video.duration_s - 1.0))
        self._frames = self._video.frames(start_s=start_s)
        self._now = next(self._frames, None)
        self._next = next(self._frames, None)
