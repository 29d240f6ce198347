"""The annotated video of a clip, written while its faces are read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien.errors import ImageError, UsageError
from mien.video.aside import BackgroundWorker
from mien.video.frame import VideoFrame
from mien.video.opening import open_video
from mien.video.output.encoder import VideoSegment, join
from mien.video.output.painter import ClipPainter
from mien.video.reader import FramePosition, Video
from mien.video.results import AnalyzedFrame
from mien.video.threads import prefetch


class AnnotatedClip:
    """Draws the faces of one clip on its pictures, and writes them with the clip's sound.

    A file is decoded a second time, for its pictures: it costs a tenth of drawing them, and nothing has to be
    kept until the faces are known. A live source's pictures are drawn as they come, without sound.
    Drawing and encoding run in a thread of their own.

    The video is written in parts, in a folder beside `out`: a new one behind each `state`. `close` joins
    them.

    Args:
        video: the clip whose results are written.
        out: the file to write, an MP4.
        start_s, end_s, interval_s: as the results were asked for.
        blur_others: make faces unrecognisable that are not among the results.
        state: what `state` gave, to go on behind it.

    Raises:
        UsageError: the folder cannot be written to.
    """

    def __init__(
        self,
        video: Video,
        out: Path,
        *,
        start_s: float = 0.0,
        end_s: float | None = None,
        interval_s: float | None = None,
        blur_others: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._video, self._out = video, out
        self._range = {"start_s": start_s, "end_s": end_s, "interval_s": interval_s}
        self._painter = ClipPainter(blur_others=blur_others)
        self._folder = out.with_name(f".{out.name}.parts")
        self._parts: list[tuple[Path, float]] = []
        self._after: FramePosition | None = None
        self._last_s = self._start_s = start_s
        self._part: VideoSegment | None = None
        self._own: Video | None = None
        self._pictures: Iterator[VideoFrame] | None = None
        if state is None:
            shutil.rmtree(self._folder, ignore_errors=True)
        else:
            self._restore(state)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{out.parent} cannot be used as a folder to save to: {error}.") from error
        self._aside: BackgroundWorker[AnalyzedFrame] = BackgroundWorker(self._draw)

    def write(self, analyzed: AnalyzedFrame) -> None:
        """Take the next result."""
        self._aside.put(analyzed)

    def state(self) -> dict[str, Any]:
        """What is needed to go on in another process; all that was written is on the disk then."""
        self._aside.wait()
        self._end_part()
        after = self._after and [self._after.index, self._after.time_s, self._after.pts]
        return {"parts": [[path.name, start_s] for path, start_s in self._parts], "after": after}

    def close(self, *, keep_parts: bool = False) -> Path | None:
        """Finish the video and give its path; None where there was no picture.

        `keep_parts` leaves the parts where they are, for a run that goes on.
        """
        try:
            self._aside.close()
            self._end_part()
            if not self._parts:
                return None
            sound = None if self._video.live else (self._source, self._start_s, self._sound_end_s())
            join(self._parts, self._out, sound)
            return self._out
        finally:
            if self._pictures is not None and self._own is not None:
                self._pictures.close()  # type: ignore[attr-defined]
            if not keep_parts:
                shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _source(self) -> str:
        return str(self._video.container.name)

    def _sound_end_s(self) -> float:
        end_s = self._range["end_s"]
        behind_s = self._last_s + (1 / self._video.rate if self._video.rate else 0.04)
        return behind_s if end_s is None else min(end_s, behind_s)

    def _restore(self, state: dict[str, Any]) -> None:
        self._parts = [(self._folder / name, start_s) for name, start_s in state["parts"]]
        missing = [path for path, _ in self._parts if not path.exists()]
        if missing:
            raise UsageError(f"{missing[0]} is gone, so the video cannot go on; start anew without --resume.")
        self._after = state["after"] and FramePosition(*state["after"])
        self._last_s = self._after.time_s if self._after else self._start_s

    def _draw(self, analyzed: AnalyzedFrame) -> None:
        result = analyzed.result
        frame = analyzed.picture or self._picture(result.frame)
        pixels = self._painter.paint(frame.rgb(), result.faces, analyzed.others)
        if self._part is None:
            path = self._folder / f"{len(self._parts):06d}.mp4"
            self._part = VideoSegment(path, frame.size, self._video.rate)
            self._parts.append((path, result.time_s))
        self._part.write(pixels, result.time_s)
        self._after = FramePosition(frame.index, frame.time_s, frame.pts)
        self._last_s = result.time_s

    def _picture(self, index: int) -> VideoFrame:
        """The picture of a number, from a decoder of its own that goes along with the results."""
        if self._pictures is None:
            self._own = open_video(self._source, stream=True)
            self._pictures = prefetch(self._frames(self._own), room=4)
        frame = next(self._pictures, None)
        if frame is None or frame.index != index:
            raise ImageError(f"{self._video.source} changed while it was read; run mien again.")
        return frame

    def _frames(self, video: Video) -> Iterator[VideoFrame]:
        with video:
            yield from video.frames(**self._range, after=self._after)  # type: ignore[arg-type]

    def _end_part(self) -> None:
        if self._part is not None:
            self._part.close()
            self._part = None
