"""`mien audit`: find irregular faces and doubtful labels, for a person to decide about."""

from __future__ import annotations

from pathlib import Path

import typer


def audit(
    data: str = typer.Option(
        help="FER2013's CSV, plain or packed; Parquet; a folder with one folder a class; or 'synthetic'.",
        metavar="PATH",
    ),
    out: Path = typer.Option(help="The folder to write to; made if it is not there.", metavar="DIR"),
    votes: Path | None = typer.Option(
        None, help="FER+ votes (fer2013new.csv), joined by row: more is found, and precision is measured."
    ),
) -> None:
    """Find blank pictures, duplicates, what is not a face, and doubtful labels; drop nothing.

    Writes findings.csv, and gallery.html to look through them and save your decisions. Then
    mien data convert --apply decisions.csv writes the cleaned table.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mien.data import load
    from mien.study.audit import audit as look
    from mien.study.audit import write

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"reading {data}")
        table = load(data, votes=votes)
        progress.update(task, description="looking")
        found = look(table, done=lambda name: progress.update(task, description=f"looked for: {name}"))
        listed, page = write(table, found, out)
    for kind, n in found.counts.items():
        typer.echo(f"{n:>7,}  {kind}")
    for each in found.precision:
        typer.echo(f"of the {each.n} surest of {each.kind!r} the votes confirm {each.share:.1%}")
    typer.echo(f"{listed}\n{page}: open it in a browser, decide, save decisions.csv")
