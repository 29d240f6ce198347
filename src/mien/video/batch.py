"""Many clips, streams and cameras into one table, with annotated videos and timelines; it can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.inference.sinks import ReadFailure, Sink
from mien.video.options.clips import ClipOptions
from mien.video.output.table import TableWriter, open_table
from mien.video.output.window import Window
from mien.video.pool import ClipWork, read_together
from mien.video.resume import Progress, load_progress, save_progress
from mien.video.runner import (
    BatchObserver,
    ClipOutcome,
    ClipRunner,
    figures_of,
    log_of,
    make_folder,
)
from mien.video.sources import file_names, find_sources, without_password
from mien.video.study.study import SIDECAR, read_study_corrections, write_together
from mien.video.tracking.people import People

# Writes the faces of images into the table of clips; returns the images that cannot be read.
WriteImages: TypeAlias = Callable[[Sink], list[ReadFailure]]
# In the list of what an interrupted run has finished.
_IMAGES = "images"


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
    _check_jobs(options)
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
        """Reads all clips."""
        with self._open_window() as self._window, self._open_table() as self._table:
            self._save_progress()
            self._write_images()
            try:
                with closing(self._read()) as outcomes:
                    for outcome in outcomes:
                        self._done(outcome)
            except KeyboardInterrupt:
                self._finish_study()
                raise
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

    def _read(self) -> Generator[ClipOutcome]:
        """Reads the clips that are not done, one after the other or several at once."""
        clips = [clip for clip in self._clips if clip not in self._progress.done]
        options = self._options
        if options.jobs > 1 and len(clips) > 1:
            work = ClipWork(self._analyzer, options, self._names, self._corrections)
            yield from read_together(clips, work, options.jobs, self._observer)
            return
        runner = ClipRunner(
            self._analyzer,
            options,
            self._names,
            self._observer,
            corrections=self._corrections,
            table=self._table,
            window=self._window,
            everybody=self._everybody,
        )
        yield from map(runner.read, clips)

    def _done(self, outcome: ClipOutcome) -> None:
        self._failures += outcome.failures
        if outcome.error:
            error = {"source": without_password(outcome.clip), "error": outcome.error}
            self._progress.errors.append(error)
        # First the log: one that is there belongs to a clip that is not done.
        if not self._study and (log := self._log(outcome.clip)):
            log.unlink(missing_ok=True)
        self._progress.done.append(outcome.clip)
        self._save_progress()

    def _finish_study(self) -> None:
        if self._study and self._options.study:
            place = {without_password(clip): number for number, clip in enumerate(self._clips)}
            errors = sorted(self._progress.errors, key=lambda error: place.get(error["source"], -1))
            names = list(self._names.values())
            write_together(self._study, names, self._options.study, errors, self._corrections)

    def _log(self, clip: str) -> Path | None:
        return log_of(self._options, self._names[clip])

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

    def _decisive(self) -> dict[str, Any]:
        """The options that decide what is written, to compare with those of an interrupted run."""
        options, classifier = asdict(self._options), self._analyzer.classifier
        for name in ("jobs", "overwrite", "resume", "show", "stream"):
            del options[name]
        options |= {"model": classifier.card.sha256, "labels": list(classifier.labels)}
        options |= {"align": self._analyzer.align, "sources": self._clips}
        options |= {"movements": self._analyzer.mesh is not None}
        return {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}

    def _check_files(self) -> None:
        """Nothing that was there before is replaced unless `overwrite` is set."""
        options, resumed = self._options, self._progress.size is not None
        for folder in filter(None, (options.save, options.timeline, self._study)):
            make_folder(folder)
        if options.overwrite or resumed:
            return
        there = options.out and (self._study / SIDECAR if self._study else options.out)
        if options.resume and there and there.exists():
            raise UsageError(
                f"{options.out} is complete: there is nothing to resume. --overwrite begins anew."
            )
        interrupted = self._progress_file is not None and self._progress_file.exists()
        hint = ", or --resume to continue where it was interrupted" if interrupted else ""
        for path in [
            there,
            *(path for clip in self._clips for path in figures_of(options, self._names[clip])),
        ]:
            if path and path.exists():
                raise UsageError(f"{path} exists. Give another name, or --overwrite to replace it{hint}.")


def _check_jobs(options: ClipOptions) -> None:
    if options.jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, not {options.jobs}.")
    if options.jobs == 1:
        return
    if not options.study:
        raise UsageError("--jobs is for studies: give --out a folder, such as study/.")
    if options.people == "all":
        raise UsageError("--people all numbers people in the order of the clips: leave out --jobs.")
    if options.show or options.stream:
        raise UsageError("--jobs is for clips in files: leave out --show and --stream.")
