"""`mien explore`: look at labelled faces before training on them."""

from __future__ import annotations

from pathlib import Path

import typer


def explore(
    data: str = typer.Option(
        help="FER2013's CSV, plain or packed; Parquet; a folder with one folder a class; or 'synthetic'.",
        metavar="PATH",
    ),
    out: Path = typer.Option(help="The folder to write to; made if it is not there.", metavar="DIR"),
    votes: Path | None = typer.Option(None, help="FER+ votes (fer2013new.csv), joined by row."),
) -> None:
    """Draw what a data set holds: emotions by split, mean faces, light, how far people agreed.

    Writes every figure as PNG and SVG, the numbers as explore.json, and explore.html, one page of all.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mien.data import load
    from mien.reports.explore import explore as write

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"reading {data}")
        table = load(data, votes=votes)
        progress.update(task, description="drawing")
        page = write(table, out, done=lambda name: progress.update(task, description=f"drawn: {name}"))
    typer.echo(f"{page}: {len(table):,} faces; figures as PNG and SVG and explore.json beside it")
