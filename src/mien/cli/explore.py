"""`mien explore`: figures of labelled faces, before training on them."""

from __future__ import annotations

import typer

from mien.cli import options


def explore(data: options.DataOption, out: options.OutFolder, votes: options.Votes = None) -> None:
    """Draw what a data set contains: emotions by split, mean faces, brightness, how far people agreed.

    Writes explore.html, one page with all figures; each figure as PNG, SVG and PDF; and explore.json with the
    numbers.
    """
    from mien.cli.progress import progress_bar
    from mien.data import load
    from mien.reports.explore import explore as write

    with progress_bar(f"reading {data}") as bar:
        table = load(data, votes=votes)
        bar.stage("drawing")
        page = write(table, out, on_section=lambda name: bar.describe(f"drawn: {name}"))
    typer.echo(f"{page}: {len(table):,} faces; figures as PNG, SVG and PDF and explore.json beside it")
