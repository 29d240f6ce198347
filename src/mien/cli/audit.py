"""`mien audit`: find irregular faces and doubtful labels, for a person to decide about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.options import option
from mien.cli.tables import results_table
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from rich.table import Table

    from mien.auditing.precision import PrecisionAtK

NO_MODEL = "none"

Model: TypeAlias = Annotated[
    str,
    option(
        options.MODEL,
        "--model MODEL",
        "A shipped model (see: mien models), an ONNX file, the folder of a run, or 'none'. A model that "
        "was trained on these faces hides their label errors.",
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

    from mien import api
    from mien.cli.progress import progress_bar

    with progress_bar(f"reading {data}") as bar:
        findings = api.audit(
            data, votes=votes, model=None if model == NO_MODEL else model, out=out, progress=bar.show
        )
    for kind, n in findings.counts.items():
        typer.echo(f"{n:>7,}  {kind}")
    if findings.precision:
        Console(highlight=False).print(_precision_table(findings.precision))
    typer.echo(f"{out / 'findings.csv'}")
    typer.echo(f"{out / 'gallery.html'}: open it in a browser, decide, save decisions.csv")


def _precision_table(measured: Sequence[PrecisionAtK]) -> Table:
    """One row per kind and split: how many of the most confident findings the votes confirm."""
    ks = sorted({each.k for each in measured})
    headings = ["kind", "split", *(f"of the {k} most confident" for k in ks), "in the data"]
    table = results_table("Confirmed by the FER+ votes", *headings, wrap=True)
    for kind, split in dict.fromkeys((each.kind, each.split) for each in measured):
        cells = {each.k: each for each in measured if (each.kind, each.split) == (kind, split)}
        shares = [_share(cells.get(k)) for k in ks]
        table.add_row(kind, split or "all", *shares, f"{next(iter(cells.values())).total:,}")
    return table


def _share(cell: PrecisionAtK | None) -> str:
    if cell is None:
        return ""
    return f"{cell.precision:.1%}" + ("" if cell.n == cell.k else f" of {cell.n}")
