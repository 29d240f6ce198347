"""`mien report`: the folder of a training run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.options import option

Runs: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="The folder of a run, or of mien train --seeds or --folds; or several runs that differ in the "
        "seed or in the fold alone.",
    ),
]
Data: TypeAlias = Annotated[
    str | None,
    option(options.DATA, "--data PATH", "The faces. Default: those that the run was started with."),
]
Out: TypeAlias = Annotated[
    Path | None, option(options.OUTPUT, "--out DIR", "Folder to write to. Default: RUN/report.")
]


def report(
    runs: Runs,
    data: Data = None,
    votes: options.Votes = None,
    out: Out = None,
    format: options.Format = None,
) -> None:
    """Write a training run as one page: scores, curves, confusion matrix, examples, recipe, environment.

    Writes report.html, one page that needs no other file; each figure as PNG, SVG and PDF; and report.json
    with all numbers. Of several seeds or folds, the page has the mean and the spread. Of folds, it also
    has the scores of all faces, each predicted by the run that was not trained on its fold. The best epoch
    is scored on the faces that chose it; without these faces the page has no scores of each face, and says
    so.
    """
    import mien
    from mien.cli.progress import progress_bar
    from mien.reports.tabular import render_all

    with progress_bar("reading") as bar:
        written = mien.report(runs, out=out, data=data, votes=votes, progress=bar.show)
    if written.not_evaluated:
        typer.echo(f"not evaluated: {written.not_evaluated}", err=True)
    if format is not None:
        typer.echo(render_all(written.tables, format.value), nl=False)
    typer.echo(f"{written.page}: {', '.join(run.name for run in written.runs)}", err=format is not None)
