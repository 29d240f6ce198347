"""A clip, a stream or a camera in, the faces of each frame and their apparent expression out."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from mien.errors import ImageError, UsageError
from mien.inference.analyzer import Analyzer
from mien.video.camera import FROZEN_S, open_camera, until_frozen
from mien.video.frame import VideoFrame
from mien.video.log import Log, LogWriter, log_header
from mien.video.opening import open_video
from mien.video.options.clips import DETECTOR_SIZE, FaceSelection
from mien.video.reader import ReadStatus, Video
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace
from mien.video.smoothing import Smoothing
from mien.video.sources import is_address, is_camera
from mien.video.stages.pipeline import DETECT_INTERVAL_S, Pipeline
from mien.video.stages.track import TrackedFrame
from mien.video.threads import Dropped, prefetch
from mien.video.tracking.people import People

__all__ = ["FrameResult", "TrackedFace", "VideoAnalysis", "analyze_video", "live"]


class VideoAnalysis(Iterator[FrameResult]):
    """The faces of a clip's frames, one frame after another, computed on demand.

    Iterate over it, or over `details` for drawing. Memory does not grow with the clip's length. The file is
    closed at the end, on `close`, and at the end of a `with` block.

    Attributes:
        video: the opened source: size, rate, duration.
        analyzer: the model and the detector.
        dropped: how many frames of a live source were left out because they came too fast.

    Args:
        people: numbers people; shared by several clips, it numbers people across them.
        log: write everything that was expensive to find out to this file, see `mien.video.log`.
        resume: the log of an interrupted run of the same clip is there: begin with its results, then go on.

    Raises:
        UsageError: `resume`, and the log is of another clip, model or options.
    """

    def __init__(
        self,
        video: Video,
        analyzer: Analyzer,
        *,
        start_s: float = 0.0,
        end_s: float | None = None,
        interval_s: float | None = None,
        faces: FaceSelection = "all",
        smoothing: Smoothing | None = None,
        detector_size: int = DETECTOR_SIZE,
        detect_interval_s: float = DETECT_INTERVAL_S,
        keep_frames: bool = False,
        thumbnails: bool = False,
        people: People | None = None,
        log: Path | None = None,
        resume: bool = False,
    ) -> None:
        self.video, self.analyzer, self.dropped = video, analyzer, Dropped()
        self._range: dict[str, Any] = {"start_s": start_s, "end_s": end_s, "interval_s": interval_s}
        smoothing = smoothing or Smoothing()
        self._pipeline = Pipeline(
            video.source,
            analyzer,
            live=video.live,
            faces=faces,
            smoothing=smoothing,
            detector_size=detector_size,
            detect_interval_s=detect_interval_s,
            keep_frames=video.live or keep_frames,
            thumbnails=thumbnails,
            people=people,
        )
        options: dict[str, Any] = {"detector_size": detector_size, "detect_interval_s": detect_interval_s}
        options |= {"align": analyzer.align, "thumbnails": thumbnails, "live": video.live}
        options |= {"movements": analyzer.mesh is not None}
        options |= {"people": "clip" if people is None or people.recognize else "off"}
        options |= {"faces": faces, "smoothing": asdict(smoothing)}
        self._log, self._options = log, self._range | options
        self._done = Log(log) if log and resume else None
        if self._done:
            self._done.check(self._header())
        self._details: Generator[AnalyzedFrame, None, None] | None = None
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> FrameResult:
        return next(self.details()).result

    @property
    def status(self) -> ReadStatus:
        """How reading went; `status.describe()` describes what went wrong, once the results were taken."""
        return self.video.status

    def close(self) -> None:
        """Stop, and let go of the file or the camera."""
        if self._details is not None:
            self._details.close()
        if not self._started:
            self.video.close()

    def details(self) -> Generator[AnalyzedFrame, None, None]:
        """The results with what drawing needs besides; the same run that iterating goes through."""
        if self._details is None:
            self._details = self._run()
        return self._details

    def _run(self) -> Generator[AnalyzedFrame, None, None]:
        """Decoding, tracking and classifying at the same time, each in a thread of its own."""
        self._started = True
        try:
            if self._done:
                for record in self._done.records(whole=False):
                    yield from self._pipeline.smoother.feed(self._pipeline.tracker.replay(record))
        except BaseException:
            self.video.close()
            raise
        size = self._done.size if self._done else None
        log = LogWriter(self._log, self._header(), size=size) if self._log else None
        with closing(log) if log else nullcontext():
            yield from self._go_on(log)

    def _header(self) -> dict[str, Any]:
        return log_header(self.video.source, self.analyzer.classifier, self.analyzer.limits, self._options)

    def _go_on(self, log: LogWriter | None) -> Generator[AnalyzedFrame, None, None]:
        live = self.video.live
        dropped, patience_s = (self.dropped, FROZEN_S) if live else (None, None)
        frames = prefetch(self._frames(), room=2 if live else 8, dropped=dropped, patience_s=patience_s)
        tracked = prefetch(self._track(frames), room=1 if live else 8)
        stages = self._pipeline
        try:
            for batch in self._batches(tracked):
                if log:
                    log.append([classified.record for classified in batch])
                for classified in batch:
                    yield from stages.smoother.feed(classified)
            yield from stages.smoother.finish(stages.tracker.finish())
        finally:
            tracked.close()
            frames.close()

    def _batches(self, tracked: Iterator[TrackedFrame]) -> Iterator[list[TrackedFrame]]:
        classifier = self._pipeline.classifier
        yield from filter(None, map(classifier.feed, tracked))
        if rest := classifier.finish():
            yield rest

    def _frames(self) -> Iterator[VideoFrame]:
        # A resumed run reads its last frame again, to see whether the next one begins a new scene.
        after = self._done.last[0] if self._done and self._done.last else None
        frames = self.video.frames(**self._range, after=after)
        try:
            yield from until_frozen(frames, self.video) if self.video.live else frames
        finally:
            self.video.close()  # in the thread that reads it: PyAV's containers are not to be shared

    def _track(self, frames: Iterator[VideoFrame]) -> Iterator[TrackedFrame]:
        if self._done and self._done.last:
            frame, (_, last) = next(frames, None), self._done.last
            if frame is None or frame.position != last.position:
                raise ImageError(f"{self.video.source} has changed since its log was written.")
            self._pipeline.detector.resume(frame, last.detections)
        for frame in frames:
            yield from self._pipeline.track(frame)
        yield from self._pipeline.finish_tracking()


def analyze_video(
    source: str | Path | int,
    *,
    analyzer: Analyzer | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    interval_s: float | None = None,
    faces: FaceSelection = "all",
    smooth_s: float = 0.2,
    stream: bool = False,
    detector_size: int = DETECTOR_SIZE,
    people: Literal["clip", "off"] | People = "clip",
    log: str | Path | None = None,
) -> VideoAnalysis:
    """The faces of a clip's frames, one result per frame, computed on demand.

        >>> for result in mien.analyze_video("clip.mp4"):
        ...     for face in result.faces:
        ...         print(f"{result.time_s:6.2f} s  person {face.id}: {face.top[0]}")

    Args:
        source: a clip's path; a camera's number; with `stream`, an address.
        analyzer: the model, the detector and what they run on; the defaults for None.
        start_s, end_s: from when to when, in seconds since the clip's beginning.
        interval_s: analyze one frame per interval; None analyzes every frame.
        faces: ``"all"``, or ``"biggest"`` for one person at a time.
        smooth_s: expressions are averaged over about so long, in files to both sides; 0 turns it off.
        stream: let `source` be an address (``rtsp://``, ``http://``, ...) and connect to it.
        detector_size: the longest side of the detector's input; more finds smaller faces.
        people: ``"clip"``: who returns in the clip gets their number back, by their look; ``"off"``: who was
            out of sight for 2 s or is seen behind a cut is somebody new. The same
            `mien.video.tracking.people.People`, given to several clips, numbers people across them.
        log: write everything that was expensive to find out to this file; `mien.video.log.replay` tracks and
            smooths again from it, without the clip.

    Raises:
        MissingExtra: PyAV is not installed.
        ImageError: the source cannot be opened.
        UsageError: an argument that makes no sense; an address without `stream`.
    """
    if smooth_s < 0:
        raise UsageError(f"smooth_s must be 0 or more, not {smooth_s}.")
    return VideoAnalysis(
        open_source(source, stream=stream),
        analyzer or _analyzer(),
        start_s=start_s,
        end_s=end_s,
        interval_s=interval_s,
        faces=faces,
        smoothing=Smoothing(smooth_s),
        detector_size=detector_size,
        people=_people(people),
        log=Path(log) if log else None,
    )


def live(
    camera: str | int = 0,
    *,
    analyzer: Analyzer | None = None,
    faces: FaceSelection = "all",
    smooth_s: float = 0.2,
    stream: bool = False,
    detector_size: int = DETECTOR_SIZE,
) -> VideoAnalysis:
    """The faces before a camera now, one result per frame, until it is closed or the camera falls silent.

        >>> with mien.live(camera=0) as results:
        ...     for result in results:
        ...         print([(face.id, face.top) for face in result.faces])

    Frames that come while one is analyzed are dropped, the oldest first, and counted in `dropped`.
    Expressions are smoothed from the past alone. `status.describe()` says afterwards why it ended:
    unplugged, or frozen.

    Args:
        camera: its number, or its device's path; with `stream`, an address.
        analyzer, faces, smooth_s, stream, detector_size: as `analyze_video` takes them.

    Raises:
        MissingExtra: PyAV is not installed.
        ImageError: the camera is absent, busy or forbidden, or sent no frame for 3 s.
        UsageError: an argument that makes no sense; an address without `stream`; a file.
    """
    if not (isinstance(camera, int) or is_camera(camera) or is_address(camera)):
        raise UsageError(f"{camera} is not a camera. Give its number, such as 0, or use mien.analyze_video.")
    return analyze_video(
        camera, analyzer=analyzer, faces=faces, smooth_s=smooth_s, stream=stream, detector_size=detector_size
    )


def open_source(source: str | Path | int, *, stream: bool = False) -> Video:
    """A clip, a stream or a camera opened.

    Raises:
        MissingExtra, ImageError, UsageError: as `open_video` and `open_camera` do.
    """
    if isinstance(source, int) or is_camera(str(source)):
        return open_camera(source if isinstance(source, int) else str(source))
    return open_video(source, stream=stream)


def _people(people: Literal["clip", "off"] | People) -> People:
    if isinstance(people, People):
        return people
    if people not in ("clip", "off"):
        raise UsageError(
            f"people must be clip or off, not {people!r}. To number people across clips, give each clip the "
            "same mien.video.tracking.people.People()."
        )
    return People(recognize=people == "clip")


@cache
def _analyzer() -> Analyzer:
    # One thread for the model: decoding and detection run beside it.
    return Analyzer(threads=1)
