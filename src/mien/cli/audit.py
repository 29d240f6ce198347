"""`mien audit`: find irregular faces and doubtful labels, for a person to decide about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from rich.table import Table

    from mien.auditing.precision import Precision

_NONE = "none"


def audit(
    data: str = typer.Option(
        help="FER2013's CSV, plain or packed; Parquet; a folder with one folder a class; or 'synthetic'.",
        metavar="PATH",
    ),
    out: Path = typer.Option(help="The folder to write to; made if it is not there.", metavar="DIR"),
    votes: Path | None = typer.Option(
        None, help="FER+ votes (fer2013new.csv), joined by row: more is found, and precision is measured."
    ),
    model: str = typer.Option(
        DEFAULT,
        help="A shipped model or an ONNX file with its card beside it, asked about every face; or 'none', "
        "so that label errors are found by nothing that has seen these faces before.",
    ),
) -> None:
    """Find blank pictures, copies, drawings, text, what is no face, and doubtful labels; drop nothing.

    Writes findings.csv, and gallery.html to look through them and save your decisions. Then
    mien data convert --apply decisions.csv writes the cleaned table.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from mien.auditing.audit import DETECTORS, write
    from mien.auditing.audit import audit as look
    from mien.auditing.inputs import ask
    from mien.data import load
    from mien.detection.single_face import SingleFaceDetector
    from mien.models.onnx import OnnxClassifier

    classifier = None if model == _NONE else OnnxClassifier(model)
    errors = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        reading = progress.add_task(f"reading {data}", total=1)
        table = load(data, votes=votes)
        progress.advance(reading)
        answers = None
        if classifier is not None and len(table):
            asking = progress.add_task(f"asking {classifier.name}", total=len(table))
            answers = ask(classifier, table, progress=lambda n: progress.advance(asking, n))
        finding = progress.add_task("finding the faces", total=len(table))
        faces = SingleFaceDetector().detect(table.pixels, progress=lambda n: progress.advance(finding, n))
        looking = progress.add_task("looking", total=len(DETECTORS))

        def done(name: str) -> None:
            progress.update(looking, advance=1, description=f"looked for: {name}")

        found = look(table, answers=answers, faces=faces, done=done)
        listed, page = write(table, found, out)
    for kind, n in found.counts.items():
        typer.echo(f"{n:>7,}  {kind}")
    if found.precision:
        Console(highlight=False).print(_measured(found.precision))
    typer.echo(f"{listed}\n{page}: open it in a browser, decide, save decisions.csv")


def _measured(measured: Sequence[Precision]) -> Table:
    """A row for each kind and split: what the votes confirm among the surest, and how much there is."""
    from rich import box
    from rich.table import Table

    depths = sorted({each.at for each in measured})
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        title="Confirmed by the FER+ votes",
        title_justify="left",
    )
    table.add_column("kind", no_wrap=True)
    table.add_column("faces", no_wrap=True)
    for at in depths:
        table.add_column(f"of the {at} surest", justify="right")
    table.add_column("there are", justify="right")
    for kind, split in dict.fromkeys((each.kind, each.split) for each in measured):
        cells = {each.at: each for each in measured if (each.kind, each.split) == (kind, split)}
        shown = [
            "" if (cell := cells.get(at)) is None else f"{cell.share:.1%}" + _of(cell.n, at) for at in depths
        ]
        table.add_row(kind, split or "all", *shown, f"{next(iter(cells.values())).there:,}")
    return table


def _of(n: int, at: int) -> str:
    return "" if n == at else f" of {n}"
