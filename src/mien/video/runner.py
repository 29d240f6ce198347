"""One clip after another: each is read to its end, and everything that is written of it alone is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import CorrectionError, ImageError, UsageError, reason
from mien.inference.analyzer import Analyzer
from mien.video.analysis import VideoAnalysis, open_source
from mien.video.job import ClipJob, ClipResult
from mien.video.options.clips import ClipOptions
from mien.video.output.table import TableWriter
from mien.video.output.timeline import Timeline
from mien.video.output.window import Window
from mien.video.output.writer import AnnotatedClip
from mien.video.reader import Video
from mien.video.results import FrameResult
from mien.video.smoothing import Smoothing
from mien.video.sources import without_password
from mien.video.study.study import clip_facts, keep_known_people, log_path, write_clip
from mien.video.tracking.people import People

if TYPE_CHECKING:
    from mien.video.study.corrections import Corrections


class BatchObserver:
    """Hears what happens while clips are analyzed; override what you need."""

    def started(self, source: str, name: str, start_s: float, length_s: float | None) -> None:
        """A clip was opened; its results begin at a time and last so long, as far as that is known."""

    def analyzed(self, result: FrameResult) -> None:
        """A frame was analyzed."""

    def finished(self, source: str, result: ClipResult) -> None:
        """A clip was read to its end, or as far as it could be; see `ClipResult.error`."""

    def failed(self, source: str, error: str) -> None:
        """A clip could not be opened or analyzed; the others go on."""

    def stopped(self, *, resumable: bool) -> None:
        """The run was interrupted; what was read is kept, and `resume` may continue it."""


@dataclass(frozen=True)
class ClipOutcome:
    """What the run has to remember of a clip.

    Attributes:
        clip: the source, as it was found.
        error: why it could not be read whole, or None.
        failures: what counts for the exit code.
    """

    clip: str
    error: str | None
    failures: int


class ClipRunner:
    """Reads clips, and writes the videos, the figures and the part of a study that belong to each.

    Args:
        analyzer: of the faces.
        options: of the run.
        names: of the files of each clip.
        observer: hears what happens.
        corrections: of the study.
        table: takes each result.
        window: shows the frames meanwhile.
        everybody: who is known from the clips before, where people are numbered across clips.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        options: ClipOptions,
        names: dict[str, str],
        observer: BatchObserver,
        *,
        corrections: Corrections | None = None,
        table: TableWriter | None = None,
        window: Window | None = None,
        everybody: People | None = None,
    ) -> None:
        self._analyzer, self._options, self._names, self._observer = analyzer, options, names, observer
        self._corrections, self._table, self._window = corrections, table, window
        self._everybody = People() if everybody is None else everybody
        self._study = options.out if options.study else None
        self._uncorrected = 0

    def read(self, clip: str) -> ClipOutcome:
        """Reads one clip; one that cannot be read is reported, and the others go on.

        Raises:
            UsageError: something cannot be written.
            KeyboardInterrupt: once what was read so far is written.
        """
        self._uncorrected = 0
        try:
            error = self._run(clip).error
        except ImageError as raised:
            error = str(raised)
            self._observer.failed(without_password(clip), error)
            if self._table:
                self._table.fail(without_password(clip), error)
        return ClipOutcome(clip, error, bool(error) + self._uncorrected)

    def _run(self, clip: str) -> ClipResult:
        options = self._options
        video = open_source(clip, stream=options.stream)
        job = self._prepare(clip, video)
        ends_s = [end_s for end_s in (options.end_s, video.duration_s) if end_s is not None]
        length_s = min(ends_s) - options.start_s if ends_s else None
        self._observer.started(video.source, self._names[clip], options.start_s, length_s)
        facts = clip_facts(video) if self._study else {}
        try:
            result = job.run(on_result=self._observer.analyzed)
        except KeyboardInterrupt:
            self._observer.stopped(resumable=options.out is not None and not video.live)
            self._write_study(clip, video, facts | {"error": "interrupted", "complete": False})
            raise
        files = self._write_study(clip, video, facts | {"error": result.error, "complete": result.complete})
        result = replace(result, files=[*files, *result.files])
        self._observer.finished(video.source, result)
        return result

    def _write_study(self, clip: str, video: Video, facts: dict[str, Any]) -> list[Path]:
        """Writes the tables, the timeline and the exports of a clip, where a study is wanted."""
        if self._study is None or self._options.study is None:
            return []
        facts |= {"size": list(video.size)}
        place = (self._study, self._names[clip])
        try:
            return write_clip(*place, facts, self._options.study, self._corrections)
        except CorrectionError as error:
            message = f"{error} The tables of this clip are without corrections."
            self._observer.failed(video.source, message)
            self._uncorrected += 1
            return write_clip(*place, facts | {"corrections_error": message}, self._options.study)

    def _prepare(self, clip: str, video: Video) -> ClipJob:
        """The clip's job, at its beginning or where an interrupted one continues."""
        options, head = self._options, self._analyzer.classifier.head
        span: dict[str, Any] = {name: getattr(options, name) for name in ("start_s", "end_s", "interval_s")}
        timeline_path, annotated_path = figures_of(options, self._names[clip])
        log = None if video.live and not self._study else log_of(options, self._names[clip])
        resume = log is not None and log.exists() and not video.live
        if self._study and log:
            make_folder(log.parent)
            if options.people == "all":
                keep_known_people(self._study, self._names[clip], self._everybody)
        analysis = VideoAnalysis(
            video,
            self._analyzer,
            **span,
            faces=options.faces,
            smoothing=Smoothing(options.smooth_s),
            detector_size=options.detector_size,
            keep_frames=self._window is not None,
            thumbnails=timeline_path is not None or self._study is not None,
            people=self._everybody if options.people == "all" else People(recognize=options.people == "clip"),
            log=log,
            resume=resume,
        )
        timeline = annotated = None
        if timeline_path:
            emotions = [label for label in head.labels if label not in head.abstain]
            timeline = (Timeline(emotions), timeline_path)
        if annotated_path:
            blur = options.blur_others
            annotated = AnnotatedClip(video, annotated_path, **span, blur_others=blur, resume=resume)
        return ClipJob(
            analysis, table=self._table, timeline=timeline, annotated=annotated, window=self._window
        )


def log_of(options: ClipOptions, name: str) -> Path | None:
    """The log of a clip: kept in a study, and deleted elsewhere once the clip is read."""
    if options.study and options.out:
        return log_path(options.out, name)
    return options.out and options.out.with_name(f"{options.out.name}.resume.jsonl")


def figures_of(options: ClipOptions, name: str) -> tuple[Path | None, Path | None]:
    """Where the timeline and the annotated video of a clip go."""
    folder = options.timeline or options.save
    timeline = folder and folder / f"{name}-timeline.png"
    return timeline, options.save and options.save / f"{name}.mp4"


def make_folder(folder: Path) -> None:
    """Make a folder to write to.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be used as a folder to save to: {reason(error)}. Choose another."
        ) from error
