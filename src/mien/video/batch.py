"""Many clips, streams and cameras into one table, with annotated videos and timelines; it can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from mien.errors import CorrectionError, ImageError, UsageError
from mien.inference.analyzer import Analyzer
from mien.inference.sinks import ReadFailure, Sink
from mien.video.analysis import VideoAnalysis, open_source
from mien.video.job import ClipJob, ClipResult
from mien.video.output.table import TableWriter, open_table
from mien.video.output.timeline import Timeline
from mien.video.output.window import Window
from mien.video.output.writer import AnnotatedClip
from mien.video.reader import Video
from mien.video.results import FrameResult
from mien.video.resume import Progress, load_progress, save_progress
from mien.video.smoothing import Smoothing
from mien.video.sources import file_names, find_sources, without_password
from mien.video.stages.pipeline import DETECTOR_SIZE
from mien.video.stages.select import FaceSelection
from mien.video.study.study import (
    SIDECAR,
    StudyOptions,
    clip_facts,
    keep_known_people,
    log_path,
    read_study_corrections,
    write_clip,
    write_together,
)
from mien.video.tracking.people import People, PeopleMode

# Writes the faces of images into the table of clips; returns the images that cannot be read.
WriteImages: TypeAlias = Callable[[Sink], list[ReadFailure]]
# In the list of what an interrupted run has finished.
_IMAGES = "images"


@dataclass(frozen=True)
class ClipOptions:
    """How clips are analyzed, and what is written.

    Attributes:
        form: ``"csv"``, ``"jsonl"``, ``"json"`` or ``"parquet"``; no table for None.
        out: the table's file; stdout for None.
        save: folder of annotated videos and timelines.
        timeline: folder of timelines alone.
        study: write `out` as the folder of a study, see `mien.video.study.study`; `form` is None then.
        overwrite: replace files that exist.
        resume: continue the run that was interrupted while it wrote `out`.
        stream: let a source be an address, and connect to it.
        blur_others: blur all faces that are not reported in what is saved or shown.
        show: show the frames in a window.
        people: who gets their number back when they return: in the same clip for ``"clip"``, in all clips of
            the run for ``"all"``, nobody for ``"off"``.
        interval_s, start_s, end_s, faces, smooth_s, detector_size: as `mien.analyze_video` takes them.
    """

    form: str | None = None
    out: Path | None = None
    save: Path | None = None
    timeline: Path | None = None
    study: StudyOptions | None = None
    overwrite: bool = False
    resume: bool = False
    stream: bool = False
    interval_s: float | None = None
    start_s: float = 0.0
    end_s: float | None = None
    faces: FaceSelection = "all"
    people: PeopleMode = "clip"
    blur_others: bool = False
    show: bool = False
    smooth_s: float = 0.2
    detector_size: int = DETECTOR_SIZE


class BatchObserver:
    """Hears what happens while clips are analyzed; override what you need."""

    def started(self, name: str, start_s: float, length_s: float | None) -> None:
        """A clip was opened; its results begin at a time and last so long, as far as that is known."""

    def analyzed(self, result: FrameResult) -> None:
        """A frame was analyzed."""

    def finished(self, source: str, result: ClipResult) -> None:
        """A clip was read to its end, or as far as it could be; see `ClipResult.error`."""

    def failed(self, source: str, error: str) -> None:
        """A clip could not be opened or analyzed; the others go on."""

    def stopped(self, *, resumable: bool) -> None:
        """The run was interrupted; what was read is kept, and `resume` may continue it."""


def predict_clips(
    sources: list[str],
    analyzer: Analyzer,
    options: ClipOptions,
    observer: BatchObserver | None = None,
    *,
    images: WriteImages | None = None,
) -> int:
    """Analyzes clips and writes their table, videos and figures; returns how many could not be read whole.

    `images` writes the rows of images into the same table, before those of the clips.

    Raises:
        UsageError: options that exclude each other, or files that are in the way.
        ImageError: a source that names nothing.
        KeyboardInterrupt: once what was read so far is written.
    """
    if options.blur_others and (not (options.save or options.show) or options.faces != "biggest"):
        raise UsageError(
            "--blur-others blurs all faces but the biggest: it needs --faces biggest, and --save or --show."
        )
    if options.resume and options.out is None:
        raise UsageError("--resume continues the file of an interrupted run; name it with --out.")
    return _Batch(find_sources(sources), analyzer, options, observer or BatchObserver(), images).run()


class _Batch:
    """One run over clips."""

    def __init__(
        self,
        clips: list[str],
        analyzer: Analyzer,
        options: ClipOptions,
        observer: BatchObserver,
        images: WriteImages | None,
    ) -> None:
        self._images = images
        self._clips, self._analyzer, self._options, self._observer = clips, analyzer, options, observer
        self._names = file_names(clips)
        self._failures = 0
        self._everybody = People()
        self._table: TableWriter | None = None
        self._window: Window | None = None
        out, decisive = options.out, self._decisive()
        # What was finished, and the log of the clip that is being read.
        self._study = out if options.study else None
        # Read before hours of analysis, so that a mistake in it shows at once.
        self._corrections = read_study_corrections(self._study) if self._study else None
        if self._study:
            self._progress_file: Path | None = self._study / ".resume.json"
        else:
            self._progress_file = out and out.with_name(f"{out.name}.resume.json")
        self._progress = Progress(decisive)
        if options.resume and self._progress_file and self._progress_file.exists():
            self._progress = load_progress(self._progress_file, decisive)
            self._everybody.restore(self._progress.people)
        self._check_files()
        if self._progress.size is None:
            for clip in clips:
                if log := self._log(clip):
                    log.unlink(missing_ok=True)

    def run(self) -> int:
        """Reads clip after clip."""
        with self._open_window() as self._window, self._open_table() as self._table:
            self._save_progress()
            self._write_images()
            for clip in self._clips:
                if clip not in self._progress.done:
                    self._read(clip)
        self._finish_study()
        if self._progress_file:
            self._progress_file.unlink(missing_ok=True)
        return self._failures

    def _write_images(self) -> None:
        """Writes the rows of the images, unless an interrupted run did."""
        if self._images is None or self._table is None or _IMAGES in self._progress.done:
            return
        failures = self._images(self._table.sink)
        self._failures += len(failures)
        self._progress.errors += [failure.to_dict() for failure in failures]
        self._progress.done.append(_IMAGES)
        self._save_progress()

    def _read(self, clip: str) -> None:
        """Reads one clip; one that cannot be read is reported, and the others go on."""
        try:
            error = self._run_clip(clip).error
        except ImageError as raised:
            error = str(raised)
            self._observer.failed(without_password(clip), error)
            if self._table:
                self._table.fail(without_password(clip), error)
        if error:
            self._failures += 1
            self._progress.errors.append({"source": without_password(clip), "error": error})
        # First the log: one that is there belongs to a clip that is not done.
        if not self._study and (log := self._log(clip)):
            log.unlink(missing_ok=True)
        self._progress.done.append(clip)
        self._save_progress()

    def _run_clip(self, clip: str) -> ClipResult:
        options = self._options
        video = open_source(clip, stream=options.stream)
        job = self._prepare(clip, video)
        ends_s = [end_s for end_s in (options.end_s, video.duration_s) if end_s is not None]
        length_s = min(ends_s) - options.start_s if ends_s else None
        self._observer.started(self._names[clip], options.start_s, length_s)
        facts = clip_facts(video) if self._study else {}
        try:
            result = job.run(on_result=self._observer.analyzed)
        except KeyboardInterrupt:
            self._observer.stopped(resumable=options.out is not None and not video.live)
            self._write_study(clip, video, facts | {"error": "interrupted", "complete": False})
            self._finish_study()
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
            self._failures += 1
            return write_clip(*place, facts | {"corrections_error": message}, self._options.study)

    def _finish_study(self) -> None:
        if self._study and self._options.study:
            write_together(
                self._study,
                list(self._names.values()),
                self._options.study,
                self._progress.errors,
                self._corrections,
            )

    def _log(self, clip: str) -> Path | None:
        """The log of a clip: kept in a study, and deleted elsewhere once the clip is read."""
        if self._study:
            return log_path(self._study, self._names[clip])
        out = self._options.out
        return out and out.with_name(f"{out.name}.resume.jsonl")

    def _prepare(self, clip: str, video: Video) -> ClipJob:
        """The clip's job, at its beginning or where an interrupted one continues."""
        options, head = self._options, self._analyzer.classifier.head
        span: dict[str, Any] = {name: getattr(options, name) for name in ("start_s", "end_s", "interval_s")}
        timeline_path, annotated_path = self._paths(clip)
        log = None if video.live and not self._study else self._log(clip)
        resume = log is not None and log.exists() and not video.live
        if self._study and log:
            _make_folder(log.parent)
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

    def _save_progress(self) -> None:
        if self._progress_file and (self._table or self._study):
            self._progress.size = self._table.sync() if self._table else 0
            self._progress.people = self._everybody.to_dict()
            save_progress(self._progress_file, self._progress)

    def _open_window(self) -> AbstractContextManager[Window | None]:
        options = self._options
        return closing(Window(blur_others=options.blur_others)) if options.show else nullcontext()

    def _open_table(self) -> AbstractContextManager[TableWriter | None]:
        options, classifier = self._options, self._analyzer.classifier
        if options.form is None:
            return nullcontext()
        return open_table(
            options.out,
            options.form,
            model=classifier.name,
            head=classifier.head,
            images=self._images is not None,
            movements=self._analyzer.mesh is not None,
            size=self._progress.size,
            failures=[ReadFailure(**error) for error in self._progress.errors],
        )

    def _paths(self, clip: str) -> tuple[Path | None, Path | None]:
        """Where the clip's timeline and its annotated video go."""
        options, name = self._options, self._names[clip]
        folder = options.timeline or options.save
        timeline = folder and folder / f"{name}-timeline.png"
        return timeline, options.save and options.save / f"{name}.mp4"

    def _decisive(self) -> dict[str, Any]:
        """The options that decide what is written, to compare with those of an interrupted run."""
        options, classifier = asdict(self._options), self._analyzer.classifier
        for name in ("overwrite", "resume", "show", "stream"):
            del options[name]
        options |= {"model": classifier.card.sha256, "labels": list(classifier.labels)}
        options |= {"align": self._analyzer.align, "sources": self._clips}
        options |= {"movements": self._analyzer.mesh is not None}
        return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}

    def _check_files(self) -> None:
        """Nothing that was there before is replaced unless `overwrite` is set."""
        options, resumed = self._options, self._progress.size is not None
        for folder in filter(None, (options.save, options.timeline, self._study)):
            _make_folder(folder)
        if options.overwrite or resumed:
            return
        there = options.out and (self._study / SIDECAR if self._study else options.out)
        if options.resume and there and there.exists():
            raise UsageError(
                f"{options.out} is complete: there is nothing to resume. --overwrite begins anew."
            )
        interrupted = self._progress_file is not None and self._progress_file.exists()
        hint = ", or --resume to continue where it was interrupted" if interrupted else ""
        for path in [there, *(path for clip in self._clips for path in self._paths(clip))]:
            if path and path.exists():
                raise UsageError(f"{path} exists. Give another name, or --overwrite to replace it{hint}.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used as a folder to save to: {error}.") from error
