"""`mien predict`."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeAlias

import typer

from mien.errors import ImageError, UsageError
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from mien.images.decode import DecodedImage
    from mien.inference.analyzer import Analyzer
    from mien.inference.face import Face
    from mien.inference.image_writer import AnnotatedFolder
    from mien.inference.sinks import Sink

    Read: TypeAlias = tuple[DecodedImage, list[Face]]


class LabelSet(StrEnum):
    """The answers that can be asked for."""

    fer2013 = "fer2013"
    ferplus = "ferplus"


class FaceChoice(StrEnum):
    """The faces of a clip that can be asked for."""

    all = "all"
    biggest = "biggest"


# Those of `predict` that photos have no use for.
CLIP_OPTIONS = (
    "--timeline, --interval, --start, --end, --faces, --blur-others, --show, --smooth, --detector-size, "
    "--stream and --resume"
)


class Format(StrEnum):
    """The ways to write results for programs; the value is the suffix of a file."""

    json = ".json"
    jsonl = ".jsonl"
    csv = ".csv"


def predict(
    sources: list[str] = typer.Argument(
        ...,
        metavar="SOURCE...",
        help="Photos, clips, folders of one or the other, globs, or a camera's number.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Write one JSON document to stdout."),
    as_jsonl: bool = typer.Option(
        False, "--jsonl", help="Write one JSON object a line to stdout: a photo's, or a face's in a clip."
    ),
    as_csv: bool = typer.Option(False, "--csv", help="Write a CSV table, one row a face, to stdout."),
    out: Path | None = typer.Option(
        None,
        help="Write the results to this file instead; its suffix says how: .json, .jsonl, .csv, "
        "and for clips .parquet.",
    ),
    save: Path | None = typer.Option(
        None, metavar="DIR", help="Save annotated pictures or clips in this folder."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Let --out and --save replace files."),
    model: str = typer.Option(
        DEFAULT, help="A shipped model (see `mien models`) or the path of an ONNX file."
    ),
    labels: LabelSet | None = typer.Option(
        None,
        help="fer2013: seven emotions; ferplus: eight, as ten people would vote. By default the model's.",
    ),
    detector_threshold: float | None = typer.Option(
        None, min=0.0, max=1.0, help="Take a face for one from this confidence on; 0.5 if not given."
    ),
    align: bool = typer.Option(False, "--align", help="Turn each face until its eyes are level."),
    no_detect: bool = typer.Option(
        False, "--no-detect", help="Take each picture for one face that is cropped already."
    ),
    device: str = typer.Option("auto", help="Where the model runs: auto, cpu, cuda or coreml."),
    threads: int | None = typer.Option(None, min=1, help="Threads to use; one a core if not given."),
    timeline: Path | None = typer.Option(
        None, metavar="DIR", help="Clips: save a figure of each person's expressions over time here."
    ),
    interval: str | None = typer.Option(
        None, metavar="TIME", help="Clips: analyze one frame per interval, e.g. 0.2s. Default: every frame."
    ),
    start: str = typer.Option("0s", metavar="TIME", help="Clips: begin here, such as 90s or 1:30."),
    end: str | None = typer.Option(None, metavar="TIME", help="Clips: end here."),
    faces: FaceChoice = typer.Option(
        FaceChoice.all, help="Clips: report all faces, or the biggest person's alone."
    ),
    blur_others: bool = typer.Option(
        False, "--blur-others", help="Clips: where they are saved or shown, blur all faces not reported."
    ),
    show: bool = typer.Option(
        False, "--show", help="Clips, cameras: show each picture in a window; Q or Escape closes it."
    ),
    smooth: str = typer.Option(
        "0.2s", metavar="TIME", help="Clips: average expressions over about so long; 0 for not at all."
    ),
    detector_size: int = typer.Option(
        640,
        min=64,
        help="Clips: longest side of the detector's input in pixels; more finds smaller faces.",
    ),
    stream: bool = typer.Option(
        False, "--stream", help="Allow a source to be an address (rtsp://, http://, ...) and connect to it."
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Clips: go on where the run that wrote --out was interrupted."
    ),
) -> None:
    """Read the apparent expression of each face in photos or clips.

    It prints a table for people, or JSON or CSV for programs; then nothing else goes to stdout. In a clip,
    each person keeps a number while they are followed; --save also draws a timeline of each.

    A picture that cannot be read is reported and the others go on; the exit code is 5 then.
    """
    from mien.cli.predict.sources import are_clips, format_of, seconds
    from mien.cli.predict.table import TableSink
    from mien.detection.blazeface import BlazeFace
    from mien.inference.analyzer import Analyzer
    from mien.inference.image_writer import AnnotatedFolder
    from mien.video.batch import ClipOptions, predict_clips

    clips = are_clips(sources)
    if no_detect and (align or detector_threshold is not None):
        raise UsageError("--no-detect asks no detector; leave out --align and --detector-threshold.")
    form = None if clips else _format(as_json, as_jsonl, as_csv, out)
    analyzer = Analyzer(
        model,
        BlazeFace(threads=threads, threshold=0.5 if detector_threshold is None else detector_threshold),
        device=device,
        # Beside the model, clips are decoded and faces found: it gets one core if nothing else is said.
        threads=threads or (1 if clips else None),
        labels=labels and labels.value,
        align=align,
    )
    options = ClipOptions(
        out=out,
        save=save,
        timeline=timeline,
        overwrite=overwrite,
        resume=resume,
        stream=stream,
        interval_s=None if interval is None else seconds(interval),
        start_s=seconds(start),
        end_s=None if end is None else seconds(end),
        faces=faces.value,
        blur_others=blur_others,
        show=show,
        smooth_s=seconds(smooth),
        detector_size=detector_size,
    )
    if clips:
        if no_detect:
            raise UsageError("--no-detect is for photos of cropped faces; faces in clips have to be found.")
        options = replace(options, form=format_of(as_json, as_jsonl, as_csv, out))
        if predict_clips(sources, analyzer, options):
            raise typer.Exit(ImageError.exit_code)
        return
    if options != ClipOptions(out=out, save=save, overwrite=overwrite):
        raise UsageError(f"{CLIP_OPTIONS} are for clips, and these are photos.")
    folder = AnnotatedFolder(save, overwrite=overwrite) if save else None
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if form is not None:
            file = stack.enter_context(_stream(out, overwrite))
            sinks.append(stack.enter_context(closing(_data_sink(form, file, analyzer))))
        if form is None or out is not None:
            # A name or a bar that the terminal cannot show must not end the run.
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
            sinks.append(stack.enter_context(closing(TableSink())))
        read = partial(_read, analyzer=analyzer, detect=not no_detect)
        failures = _run(sources, read, threads or os.cpu_count() or 1, sinks, folder)
    if failures:
        raise typer.Exit(ImageError.exit_code)


def _format(as_json: bool, as_jsonl: bool, as_csv: bool, out: Path | None) -> Format | None:
    """The format that the options ask for; None for the table alone."""
    asked = [form for form, wanted in zip(Format, (as_json, as_jsonl, as_csv), strict=True) if wanted]
    if len(asked) > 1:
        raise UsageError("--json, --jsonl and --csv exclude each other; run mien once for each.")
    if asked or out is None:
        return asked[0] if asked else None
    try:
        return Format(out.suffix.lower())
    except ValueError:
        raise UsageError(
            f"--out {out}: its suffix does not say how to write it. Use .json, .jsonl or .csv, "
            "or add --json, --jsonl or --csv."
        ) from None


@contextmanager
def _stream(out: Path | None, overwrite: bool) -> Iterator[TextIO]:
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
        raise UsageError(f"--out {out} cannot be written: {error}.") from error
    with file:
        yield file


def _data_sink(form: Format, stream: TextIO, analyzer: Analyzer) -> Sink:
    from mien.inference.sinks import CsvSink, JsonLinesSink, JsonSink

    classifier = analyzer.classifier
    if form is Format.json:
        return JsonSink(stream, classifier.name)
    if form is Format.jsonl:
        return JsonLinesSink(stream, classifier.name)
    abstain = classifier.head.abstain
    return CsvSink(stream, [name for name in classifier.labels if name not in abstain], abstain)


def _run(
    sources: list[str],
    read: Callable[[Path], Read],
    workers: int,
    sinks: list[Sink],
    folder: AnnotatedFolder | None,
) -> int:
    """Hands every picture's faces to the sinks; gives the number of sources that could not be read."""
    from rich.console import Console
    from rich.progress import Progress

    from mien.inference.sinks import ImageFailure, ImageResult

    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    failures: list[ImageFailure] = []

    def fail(source: str, error: ImageError) -> None:
        failures.append(ImageFailure(source, str(error)))
        notes.print(f"error: {error}", markup=False, style="red")
        for sink in sinks:
            sink.fail(failures[-1])

    paths = _find(sources, fail)
    quiet = len(paths) < 4 or not notes.is_terminal
    with (
        Progress(console=notes, transient=True, disable=quiet) as progress,
        closing(_ahead(read, paths, workers)) as ahead,
    ):
        for path, future in progress.track(ahead, total=len(paths), description="reading faces"):
            try:
                picture, faces = future.result()
            except ImageError as error:
                fail(str(path), error)
                continue
            result = ImageResult(str(path), picture.width, picture.height, tuple(faces))
            for sink in sinks:
                sink.write(result)
            if folder:
                saved = folder.save(picture.pixels, faces, str(path))
                notes.print(f"saved {saved}", markup=False)
    return len(failures)


def _find(sources: list[str], fail: Callable[[str, ImageError], None]) -> list[Path]:
    """The pictures of all sources, each once; a source without any is reported and the others go on."""
    from mien.images.decode import find_images

    found: dict[Path, None] = {}
    for source in sources:
        try:
            found.update(dict.fromkeys(find_images([source])))
        except ImageError as error:
            fail(source, error)
    return list(found)


def _read(path: Path, analyzer: Analyzer, detect: bool) -> Read:
    from mien.images.decode import read_image

    picture = read_image(path)
    return picture, analyzer.analyze(picture) if detect else analyzer.analyze_crops([picture])


def _ahead(
    read: Callable[[Path], Read], paths: list[Path], workers: int
) -> Generator[tuple[Path, Future[Read]], None, None]:
    """Yields what was read in the order of the paths; `workers` pictures are read at once, no more wait."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[Path, Future[Read]]] = deque()
        for path in paths:
            waiting.append((path, pool.submit(read, path)))
            if len(waiting) > workers:
                yield waiting.popleft()
        yield from waiting
