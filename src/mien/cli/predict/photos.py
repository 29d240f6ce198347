"""`mien predict` for photos."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mien.errors import ImageError, UsageError, reason
from mien.files import DISK_ERRORS, drop_partial_line
from mien.names import shown, shown_text

if TYPE_CHECKING:
    from mien.inference.analyzer import Analyzer
    from mien.inference.image_writer import AnnotatedFolder
    from mien.inference.sinks import ReadFailure, Sink
    from mien.video.batch import WriteImages
    from mien.video.options.clips import ClipOptions

# Fewer photos are read before a bar could be seen.
_BAR_FROM = 4


def predict_photos(
    sources: list[str], analyzer: Analyzer, options: ClipOptions, *, crops: bool, threads: int | None
) -> int:
    """Write and print the faces of photos; returns the number of sources that cannot be read.

    Raises:
        UsageError: a file cannot be written, or is there already.
    """
    from mien.cli.predict.table import TableSink
    from mien.inference.image_writer import AnnotatedFolder

    folder = AnnotatedFolder(options.save, overwrite=options.overwrite) if options.save else None
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if options.form is not None:
            file = stack.enter_context(_open_output(options.out, options.overwrite))
            sinks.append(stack.enter_context(closing(_data_sink(options.form, file, analyzer))))
        if options.form is None or options.out is not None:
            # A name or a bar that the terminal cannot show must not end the run.
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            sinks.append(stack.enter_context(closing(TableSink())))
        return _run(sources, analyzer, sinks, folder, crops, threads or os.cpu_count() or 1)


def photos_beside_clips(
    sources: list[str], analyzer: Analyzer, options: ClipOptions, threads: int | None
) -> WriteImages:
    """A function that writes the faces of photos into the table of clips; it returns what cannot be read."""
    from mien.inference.image_writer import AnnotatedFolder

    class Failures:
        """Collects the photos that cannot be read."""

        def __init__(self) -> None:
            self.failures: list[ReadFailure] = []

        def write(self, result: object) -> None: ...

        def fail(self, failure: ReadFailure) -> None:
            self.failures.append(failure)

        def close(self) -> None: ...

    def write(table: Sink) -> list[ReadFailure]:
        failed = Failures()
        folder = AnnotatedFolder(options.save, overwrite=options.overwrite) if options.save else None
        with ExitStack() as stack:
            sinks: list[Sink] = [table, failed]
            if options.out is not None:
                from mien.cli.predict.table import TableSink

                sinks.append(stack.enter_context(closing(TableSink())))
            _run(sources, analyzer, sinks, folder, False, threads or os.cpu_count() or 1)
        return failed.failures

    return write


def _run(
    sources: list[str],
    analyzer: Analyzer,
    sinks: list[Sink],
    folder: AnnotatedFolder | None,
    crops: bool,
    workers: int,
) -> int:
    """Hand the faces of each photo to the sinks; returns the number of sources that cannot be read."""
    from rich.console import Console

    from mien.cli.progress import progress_bar
    from mien.inference.batch import analyze_files
    from mien.inference.sinks import ReadFailure

    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    paths, failures = _find(sources)
    failed = 0

    def fail(failure: ReadFailure) -> None:
        nonlocal failed
        failed += 1
        notes.print(shown_text(f"error: {failure.error}"), markup=False, style="red")
        for sink in sinks:
            sink.fail(failure)

    for failure in failures:
        fail(failure)
    with (
        progress_bar(console=notes, quiet=len(paths) < _BAR_FROM) as bar,
        closing(analyze_files(analyzer, paths, crops=crops, workers=workers)) as analyzed,
    ):
        advance = bar.stage("reading faces", len(paths))
        for each in analyzed:
            if isinstance(each, ReadFailure):
                fail(each)
            else:
                for sink in sinks:
                    sink.write(each.result)
                if folder:
                    saved = folder.save(each.image, each.result.faces, each.result.source)
                    notes.print(f"saved {shown(saved)}", markup=False)
            advance(1)
    return failed


def _find(sources: list[str]) -> tuple[list[Path], list[ReadFailure]]:
    """The images of all sources, each once, and the sources without any."""
    from mien.images.find import find_images
    from mien.inference.sinks import ReadFailure

    paths: dict[Path, None] = {}
    failures = []
    for source in sources:
        try:
            paths.update(dict.fromkeys(find_images([source])))
        except ImageError as error:
            failures.append(ReadFailure(source, str(error)))
    return list(paths), failures


@contextmanager
def _open_output(out: Path | None, overwrite: bool) -> Iterator[TextIO]:
    """The file to write to, or stdout in UTF-8; names that are not Unicode pass through as they are."""
    if out is None:
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        yield sys.stdout
        return
    try:
        file = out.open("w" if overwrite else "x", encoding="utf-8", errors="surrogateescape", newline="")
    except FileExistsError:
        raise UsageError(f"{out} exists. Give another --out, or --overwrite to replace it.") from None
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {reason(error)}. Choose another place.") from error
    try:
        with file:
            yield file
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        with suppress(OSError):
            out.unlink() if out.suffix == ".json" else drop_partial_line(out)
        kept = "; the rows before are kept" if out.exists() else ""
        raise UsageError(f"--out {out} cannot be written: {error.strerror or error}{kept}.") from error


def _data_sink(form: str, stream: TextIO, analyzer: Analyzer) -> Sink:
    from mien.inference.sinks import CsvSink, JsonLinesSink, JsonSink, image_columns

    classifier = analyzer.classifier
    if form == "json":
        return JsonSink(stream, classifier.name)
    if form == "jsonl":
        return JsonLinesSink(stream, {"model": classifier.name})
    return CsvSink(stream, image_columns(classifier.head, movements=analyzer.mesh is not None))
