"""`mien audit`: find irregular faces and doubtful labels, for a person to decide about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.options import option
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from rich.table import Table

    from mien.auditing.precision import Precision

_NONE = "none"


Model: TypeAlias = Annotated[
    str,
    option(
        options.MODEL,
        "--model MODEL",
        "A shipped model (see: mien models), an ONNX file, or 'none'. A model that was trained on these "
        "faces hides their label errors.",
    ),
]


def audit(
    data: options.DataOption,
    out: options.OutFolder,
    votes: options.Votes = None,
    model: Model = DEFAULT,
) -> None:
    """Find blank images, duplicates, drawings, text, images without a face, and doubtful labels.

    Nothing is removed. Writes findings.csv, and gallery.html to inspect the findings and save your
    decisions. Then mien data convert --apply decisions.csv writes the cleaned table. With --votes, more is
    found, and the precision of the findings is measured.
    """
    from rich.console import Console

    from mien.auditing.audit import DETECTORS, write
    from mien.auditing.audit import audit as find
    from mien.auditing.inputs import ask
    from mien.cli.progress import progress_bar
    from mien.data import load
    from mien.detection.single_face import SingleFaceDetector
    from mien.models.onnx import OnnxClassifier

    classifier = None if model == _NONE else OnnxClassifier(model)
    with progress_bar(f"reading {data}") as bar:
        table = load(data, votes=votes)
        answers = None
        if classifier is not None and len(table):
            answers = ask(classifier, table, progress=bar.stage(f"{classifier.name}", len(table)))
        detected = bar.stage("detecting faces", len(table))
        faces = SingleFaceDetector().detect(table.pixels, progress=detected)
        advance = bar.stage("searching", len(DETECTORS))

        def done(name: str) -> None:
            advance(1)
            bar.describe(f"searched for: {name}")

        found = find(table, answers=answers, faces=faces, done=done)
        listed, page = write(table, found, out)
    for kind, n in found.counts.items():
        typer.echo(f"{n:>7,}  {kind}")
    if found.precision:
        Console(highlight=False).print(_measured(found.precision))
    typer.echo(f"{listed}\n{page}: open it in a browser, decide, save decisions.csv")


def _measured(measured: Sequence[Precision]) -> Table:
    """One row per kind and split: how many of the most confident findings the votes confirm."""
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
        table.add_column(f"of the {at} most confident", justify="right")
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
