"""The annotated video of a clip, written while its faces are analyzed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mien.errors import ImageError, UsageError, reason
from mien.files import write_atomically
from mien.video.frame import Frame, FramePosition, VideoFrame
from mien.video.opening import open_video
from mien.video.output.encoder import VideoSegment, join
from mien.video.output.painter import ClipPainter
from mien.video.reader import Video
from mien.video.results import AnalyzedFrame
from mien.video.threads import BackgroundWorker, prefetch

# A resumed run draws anew behind the last segment that was finished; each has so many frames.
SEGMENT_FRAMES = 600


@dataclass(frozen=True)
class _Finished:
    """A segment on disk: when it begins, the size of its frames, and its last frame."""

    name: str
    start_s: float
    size: tuple[int, int]
    last: FramePosition


class AnnotatedClip:
    """Draws the faces of one clip on its frames, and writes them with the clip's sound.

    A file is decoded a second time, for its frames: it costs a tenth of drawing them, and nothing has to be
    kept until the faces are known. A live source's frames are drawn as they come, without sound.
    Drawing and encoding run in a thread of their own.

    The video is written in segments, in a folder beside `out`; `close` joins them.

    Args:
        video: the clip whose results are written.
        out: the file to write, an MP4.
        start_s, end_s, interval_s: as those of the analysis.
        blur_others: make faces unrecognisable that are not among the results.
        resume: keep the segments that an interrupted run finished; the results come from the beginning.

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
        resume: bool = False,
    ) -> None:
        self._video, self._out = video, out
        self._range = {"start_s": start_s, "end_s": end_s, "interval_s": interval_s}
        self._painter = ClipPainter(blur_others=blur_others)
        self._folder = out.with_name(f".{out.name}.segments")
        self._start_s = self._last_s = start_s
        self._segment: tuple[VideoSegment, _Finished] | None = None
        self._count = 0
        self._frames: Generator[VideoFrame, None, None] | None = None
        if not resume:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._finished = list(self._read_index())
        self._after = self._finished[-1].last if self._finished else None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{out.parent} cannot be used as a folder to save to: {reason(error)}. Choose another."
            ) from error
        self._worker: BackgroundWorker[AnalyzedFrame] = BackgroundWorker(self._draw)

    def write(self, analyzed: AnalyzedFrame) -> None:
        """Take the next result."""
        self._worker.put(analyzed)

    def close(self, *, keep_segments: bool = False) -> Path | None:
        """Finish the video and return its path; None where there was no frame.

        `keep_segments` leaves the finished segments where they are, for a run that resumes.
        """
        try:
            self._worker.close()
            segments = list(self._finished)
            if self._segment:
                self._segment[0].close()
                segments.append(self._segment[1])
            if not segments:
                return None
            sound = None if self._video.live else (self._source, self._start_s, self._sound_end_s())
            join([(self._folder / it.name, it.start_s) for it in segments], self._out, sound)
            return self._out
        finally:
            if self._frames is not None:
                self._frames.close()
            if not keep_segments:
                shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _index(self) -> Path:
        return self._folder / "segments.json"

    @property
    def _source(self) -> str:
        return str(self._video.container.name)

    def _sound_end_s(self) -> float:
        end_s = self._range["end_s"]
        behind_s = self._last_s + (1 / self._video.rate if self._video.rate else 0.04)
        return behind_s if end_s is None else min(end_s, behind_s)

    def _read_index(self) -> Iterator[_Finished]:
        """The segments that are there, up to the first one that is gone."""
        with suppress(OSError, ValueError):
            for it in json.loads(self._index.read_text(encoding="utf-8")):
                if not (self._folder / it["name"]).exists():
                    return
                last = FramePosition(**it["last"])
                yield _Finished(it["name"], it["start_s"], (it["size"][0], it["size"][1]), last)

    def _draw(self, analyzed: AnalyzedFrame) -> None:
        result = analyzed.result
        self._last_s = result.time_s
        if self._after and result.frame <= self._after.index:
            self._painter.layout(result.faces, self._finished[-1].size)
            return
        frame = analyzed.frame or self._next_frame(result.frame)
        pixels = self._painter.paint(frame.rgb(), result.faces, analyzed.others)
        segment, begun = self._segment or self._begin(frame)
        segment.write(pixels, result.time_s)
        self._segment = (segment, _Finished(begun.name, begun.start_s, begun.size, frame.position))
        self._count += 1
        if self._count == SEGMENT_FRAMES:
            self._end_segment()

    def _begin(self, frame: Frame) -> tuple[VideoSegment, _Finished]:
        self._count = 0
        begun = _Finished(f"{len(self._finished):06d}.mp4", frame.position.time_s, frame.size, frame.position)
        return VideoSegment(self._folder / begun.name, frame.size, self._video.rate), begun

    def _end_segment(self) -> None:
        if self._segment:
            self._segment[0].close()
            self._finished.append(self._segment[1])
            self._segment = None
            write_atomically(self._index, json.dumps([asdict(it) for it in self._finished]))

    def _next_frame(self, index: int) -> VideoFrame:
        """The frame of a number, from a decoder of its own that goes along with the results."""
        if self._frames is None:
            self._frames = prefetch(self._decode(open_video(self._source, stream=True)), room=4)
        frame = next(self._frames, None)
        if frame is None or frame.index != index:
            raise ImageError(f"{self._video.source} changed while it was read; run mien again.")
        return frame

    def _decode(self, video: Video) -> Iterator[VideoFrame]:
        with video:
            yield from video.frames(**self._range, after=self._after)  # type: ignore[arg-type]
