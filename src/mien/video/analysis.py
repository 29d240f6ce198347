"""A clip, a stream or a camera in, the faces of each picture and their apparent expression out."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mien.errors import UsageError
from mien.images.crop import FER2013_FRAMING
from mien.inference.analyzer import Analyzer
from mien.video.camera import FROZEN_S, open_camera, until_frozen
from mien.video.frame import VideoFrame
from mien.video.opening import open_video
from mien.video.reader import FramePosition, ReadStatus, Video
from mien.video.results import AnalyzedFrame, FrameResult, TrackedFace
from mien.video.smoothing import Smoothing
from mien.video.sources import is_address, is_camera
from mien.video.stages.classify import ClassifyStage
from mien.video.stages.detect import DetectStage
from mien.video.stages.select import FaceSelection, FaceSelector
from mien.video.stages.track import TrackedFrame, TrackStage
from mien.video.threads import Dropped, prefetch

__all__ = ["FrameResult", "TrackedFace", "VideoAnalysis", "analyze_video", "live"]

# The longest side of the picture that the detector is given.
DETECTOR_SIZE = 640
# In a file the detector is asked once in so long, see `DetectStage`.
DETECT_INTERVAL_S = 0.1


class VideoAnalysis(Iterator[FrameResult]):
    """The faces of a clip's pictures, one picture after another, worked out as they are asked for.

    Iterate over it, or over `details` for those who draw. Memory does not grow with the clip's length. It
    lets go of the file at the end, on `close`, and at the end of a `with` block.

    Attributes:
        video: the opened source: size, rate, duration.
        analyzer: what finds and reads the faces.
        dropped: how many pictures of a live source were left out because they came too fast.
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
        pictures: bool = False,
        thumbnails: bool = False,
        state_interval: int | None = None,
    ) -> None:
        self.video, self.analyzer, self.dropped = video, analyzer, Dropped()
        self._range = {"start_s": start_s, "end_s": end_s, "interval_s": interval_s}
        self._after: FramePosition | None = None
        card, classifier = analyzer.classifier.card, analyzer.classifier
        self._follower = TrackStage(
            DetectStage(
                analyzer.detector,
                interval_s=0.0 if video.live else detect_interval_s,
                detector_size=detector_size,
            ),
            card.framing or FER2013_FRAMING,
            card.input_size,
            align=analyzer.align,
            keep_pictures=video.live or pictures,
            thumbnails=thumbnails,
            state_interval=state_interval,
        )
        self._teller = ClassifyStage(
            video.source,
            classifier,
            classifier.head,
            smoothing or Smoothing(),
            live=video.live,
            chooser=FaceSelector(faces),
        )
        self._state: dict[str, Any] | None = None
        self._details: Generator[AnalyzedFrame, None, None] | None = None
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> FrameResult:
        return next(self.details()).result

    @property
    def status(self) -> ReadStatus:
        """How reading went; `status.describe()` says what went wrong, once the results have been taken."""
        return self.video.status

    def close(self) -> None:
        """Stop, and let go of the file or the camera."""
        if self._details is not None:
            self._details.close()
        if not self._started:
            self.video.close()

    def details(self) -> Generator[AnalyzedFrame, None, None]:
        """The results with what those who draw need besides; the same run that iterating goes through."""
        if self._details is None:
            self._details = self._run()
        return self._details

    def state(self) -> dict[str, Any] | None:
        """All that is needed to go on behind the result that was yielded last, as plain values for JSON.

        None where no state fell due, which it does every `state_interval` pictures; see `restore`.
        """
        return self._state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, in a new analysis of the same source with the same options."""
        self._after = FramePosition(*state["after"])
        self._follower.restore(state["follower"])
        self._teller.restore(state["teller"])

    def _run(self) -> Generator[AnalyzedFrame, None, None]:
        """Decoding, following and telling at the same time, each in a thread of its own."""
        self._started = True
        live = self.video.live
        dropped, patience_s = (self.dropped, FROZEN_S) if live else (None, None)
        pictures = prefetch(self._pictures(), room=2 if live else 8, dropped=dropped, patience_s=patience_s)
        followed = prefetch(self._follow(pictures), room=1 if live else 8)
        try:
            for it in followed:
                done = self._teller.feed(it)
                yield from done[:-1] if it.state is not None else done
                if it.state is not None:
                    moment = it.moment
                    self._state = {
                        "after": [moment.index, moment.time_s, moment.pts],
                        "follower": it.state,
                        "teller": self._teller.state(),
                    }
                    yield from done[-1:]
                    self._state = None
            yield from self._teller.finish(self._follower.last_ids())
        finally:
            followed.close()
            pictures.close()

    def _pictures(self) -> Iterator[VideoFrame]:
        frames = self.video.frames(**self._range, after=self._after)  # type: ignore[arg-type]
        try:
            yield from until_frozen(frames, self.video) if self.video.live else frames
        finally:
            self.video.close()  # in the thread that reads it: PyAV's containers are not to be shared

    def _follow(self, pictures: Iterator[VideoFrame]) -> Iterator[TrackedFrame]:
        for picture in pictures:
            yield from self._follower.feed(picture)
        yield from self._follower.finish()


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
) -> VideoAnalysis:
    """The faces of a clip's pictures, one result a picture, worked out as they are asked for.

        >>> for result in mien.analyze_video("clip.mp4"):
        ...     for face in result.faces:
        ...         print(f"{result.time_s:6.2f} s  person {face.id}: {face.top[0]}")

    Args:
        source: a clip's path; a camera's number; with `stream`, an address.
        analyzer: the model, the detector and what they run on; the defaults for None.
        start_s, end_s: from when to when, in seconds since the clip's beginning.
        interval_s: analyze one frame per interval; None analyzes every frame.
        faces: ``"all"``, or ``"biggest"`` for one person at a time.
        smooth_s: over about how long expressions are averaged, in files to both sides; 0 for not at all.
        stream: let `source` be an address (``rtsp://``, ``http://``, ...) and connect to it.
        detector_size: the longest side of the picture that the detector is given; more finds smaller faces.

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
    """The faces before a camera now, one result a picture, until it is closed or the camera falls silent.

        >>> with mien.live(camera=0) as results:
        ...     for result in results:
        ...         print([(face.id, face.top) for face in result.faces])

    Pictures that come while one is read are dropped, the oldest first, and counted in `dropped`. Expressions
    are smoothed from the past alone. `status.describe()` says afterwards why it ended: unplugged, or frozen.

    Args:
        camera: its number, or its device's path; with `stream`, an address.
        analyzer, faces, smooth_s, stream, detector_size: as `analyze_video` takes them.

    Raises:
        MissingExtra: PyAV is not installed.
        ImageError: the camera is absent, busy or forbidden, or sent no picture for 3 s.
        UsageError: an argument that makes no sense; an address without `stream`; a file.
    """
    if not (isinstance(camera, int) or is_camera(camera) or is_address(camera)):
        raise UsageError(f"{camera} is no camera. Give its number, such as 0, or use mien.analyze_video.")
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


@cache
def _analyzer() -> Analyzer:
    # One thread for the model: decoding and finding faces run beside it.
    return Analyzer(threads=1)
