"""`mien predict` for clips, streams and cameras."""

from __future__ import annotations

import sys
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import ImageError, UsageError
from mien.video.sources import file_names, find_sources, without_password

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

    from mien.inference.analyzer import Analyzer
    from mien.video.job import ClipJob, ClipResult
    from mien.video.output.table_file import TableWriter
    from mien.video.output.window import Window
    from mien.video.reader import Video
    from mien.video.resume import Progress
    from mien.video.stages.select import FaceSelection

# A run can go on behind every so many pictures.
_STATE_INTERVAL = 600


@dataclass(frozen=True)
class ClipOptions:
    """What is wanted of clips, as `mien predict` names it."""

    form: str | None = None
    out: Path | None = None
    save: Path | None = None
    timeline: Path | None = None
    overwrite: bool = False
    resume: bool = False
    stream: bool = False
    interval_s: float | None = None
    start_s: float = 0.0
    end_s: float | None = None
    faces: FaceSelection = "all"
    blur_others: bool = False
    show: bool = False
    smooth_s: float = 0.2
    detector_size: int = 640


def predict_clips(sources: list[str], analyzer: Analyzer, options: ClipOptions) -> int:
    """Reads clips and writes what was asked for; gives the number of those that could not be read whole.

    Raises:
        UsageError: options that exclude each other, or files that are in the way.
        KeyboardInterrupt: once what was read so far is written.
    """
    from rich.console import Console

    if options.blur_others and (not (options.save or options.show) or options.faces != "biggest"):
        raise UsageError(
            "--blur-others blurs all faces but the biggest: it needs --faces biggest, and --save or --show."
        )
    if options.resume and options.out is None:
        raise UsageError("--resume goes on with the file of an interrupted run; name it with --out.")
    clips = find_sources(sources)
    job = _Job(clips, analyzer, options, Console(stderr=True, soft_wrap=True, highlight=False))
    return job.run()


class _Job:
    """One run of the command over clips."""

    def __init__(self, clips: list[str], analyzer: Analyzer, options: ClipOptions, notes: Console) -> None:
        from mien.video.resume import Progress, load_progress

        self._clips, self._analyzer, self._options, self._notes = clips, analyzer, options, notes
        self._names = file_names(clips)
        self._failures = 0
        self._table: TableWriter | None = None
        self._window: Window | None = None
        decisive = self._decisive()
        self._progress_file = options.out and options.out.with_name(f"{options.out.name}.resume.json")
        self._progress: Progress = Progress(decisive)
        if options.resume and self._progress_file and self._progress_file.exists():
            self._progress = load_progress(self._progress_file, decisive)
        self._check_files()

    def run(self) -> int:
        """Reads clip after clip."""
        done = set(self._progress.done)
        with self._open_window() as self._window, self._open_table() as self._table:
            if self._table:
                self._table.errors = self._progress.errors
                self._save_progress()
            for clip in self._clips:
                if clip not in done:
                    self._read(clip)
        if self._progress_file:
            self._progress_file.unlink(missing_ok=True)
        return self._failures

    def _read(self, clip: str) -> None:
        """Reads one clip; one that cannot be read is reported, and the others go on."""
        shown = without_password(clip)
        try:
            outcome = self._run_clip(clip)
        except ImageError as error:
            self._fail(shown, str(error))
        else:
            for path in outcome.files:
                self._notes.print(f"saved {path}", markup=False)
            if outcome.problem:
                self._fail(shown, outcome.problem)
        self._progress.done.append(clip)
        self._progress.clip = self._progress.state = None
        self._save_progress()

    def _run_clip(self, clip: str) -> ClipResult:
        from rich.console import Console

        from mien.cli.predict.video_table import ClipProgress, print_people
        from mien.video.analysis import open_source

        options = self._options
        video = open_source(clip, stream=options.stream)
        run = self._prepare(clip, video)
        ends_s = [end_s for end_s in (options.end_s, video.duration_s) if end_s is not None]
        length_s = min(ends_s) - options.start_s if ends_s else None
        with ClipProgress(self._notes, length_s) as bar:
            show = bar.follow(self._names[clip], options.start_s)
            try:
                outcome = run.run(on_result=show, on_state=lambda state: self._keep(clip, state))
            except KeyboardInterrupt:
                self._say_how_to_go_on(video.live)
                raise
        if options.form is None or options.out is not None:
            # A name or a bar that the terminal cannot show must not end the run.
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            print_people(Console(highlight=False), video.source, outcome.people)
        return outcome

    def _prepare(self, clip: str, video: Video) -> ClipJob:
        """The clip's run, at its beginning or where an interrupted one goes on."""
        from mien.video.analysis import VideoAnalysis
        from mien.video.job import ClipJob
        from mien.video.output.timeline import Timeline
        from mien.video.output.writer import AnnotatedClip
        from mien.video.smoothing import Smoothing

        options, state, head = self._options, self._state_of(clip), self._analyzer.classifier.head
        span: dict[str, Any] = {name: getattr(options, name) for name in ("start_s", "end_s", "interval_s")}
        timeline_path, annotated_path = self._paths(clip)
        analysis = VideoAnalysis(
            video,
            self._analyzer,
            **span,
            faces=options.faces,
            smoothing=Smoothing(options.smooth_s),
            detector_size=options.detector_size,
            pictures=self._window is not None,
            thumbnails=timeline_path is not None,
            state_interval=_STATE_INTERVAL if self._progress_file and not video.live else None,
        )
        timeline = annotated = None
        if timeline_path:
            emotions = [label for label in head.labels if label not in head.abstain]
            timeline = (Timeline(emotions), timeline_path)
        if annotated_path:
            drawn = state and state["annotated"]
            annotated = AnnotatedClip(
                video, annotated_path, **span, blur_others=options.blur_others, state=drawn
            )
        run = ClipJob(
            analysis, table=self._table, timeline=timeline, annotated=annotated, window=self._window
        )
        if state is not None:
            run.restore(state)
        return run

    def _state_of(self, clip: str) -> dict[str, Any] | None:
        """What an interrupted run left of this clip."""
        from mien.video.resume import fingerprint

        left = self._progress.clip
        if left is None or left[0] != clip:
            return None
        if left != fingerprint(clip):
            raise UsageError(
                f"{clip} was changed since the run was interrupted; begin anew with --overwrite."
            )
        return self._progress.state

    def _fail(self, clip: str, problem: str) -> None:
        self._failures += 1
        self._notes.print(f"error: {clip}: {problem}", markup=False, style="red")
        if self._table:
            self._table.fail(clip, problem)

    def _keep(self, clip: str, state: dict[str, Any]) -> None:
        from mien.video.resume import fingerprint

        self._progress.clip, self._progress.state = fingerprint(clip), state
        self._save_progress()

    def _save_progress(self) -> None:
        from mien.video.resume import save_progress

        if self._progress_file and self._table:
            self._progress.offset = self._table.sync()
            self._progress.errors = self._table.errors
            save_progress(self._progress_file, self._progress)

    def _say_how_to_go_on(self, live: bool) -> None:
        kept = "what was read is kept"
        if self._progress_file and not live:
            kept += "; the same command with --resume goes on from there"
        self._notes.print(f"stopped: {kept}", markup=False)

    def _open_window(self) -> AbstractContextManager[Window | None]:
        from mien.video.output.window import Window

        options = self._options
        return closing(Window(blur_others=options.blur_others)) if options.show else nullcontext()

    def _open_table(self) -> AbstractContextManager[TableWriter | None]:
        from mien.video.output.table_file import open_table

        options, classifier = self._options, self._analyzer.classifier
        if options.form is None:
            return nullcontext()
        return open_table(
            options.out,
            options.form,
            model=classifier.name,
            head=classifier.head,
            offset=self._progress.offset,
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
        model = {
            "model": classifier.card.sha256,
            "labels": list(classifier.labels),
            "align": self._analyzer.align,
        }
        return {
            key: str(value) if isinstance(value, Path) else value for key, value in (options | model).items()
        } | {"sources": self._clips}

    def _check_files(self) -> None:
        """Nothing that was there before is replaced unasked."""
        options = self._options
        for folder in (options.save, options.timeline):
            if folder:
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise UsageError(f"{folder} cannot be used as a folder to save to: {error}.") from error
        going_on = self._progress.offset is not None
        if options.overwrite or going_on:
            return
        if options.resume and options.out and options.out.exists():
            raise UsageError(
                f"{options.out} is complete: there is nothing to go on with. --overwrite begins anew."
            )
        hint = ", or --resume to go on where it was interrupted" if self._was_interrupted() else ""
        for path in [options.out, *(path for clip in self._clips for path in self._paths(clip))]:
            if path and path.exists():
                raise UsageError(f"{path} exists. Give another name, or --overwrite to replace it{hint}.")

    def _was_interrupted(self) -> bool:
        return self._progress_file is not None and self._progress_file.exists()
