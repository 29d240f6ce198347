"""`mien study`: data, training and model on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.audit import NO_MODEL
from mien.cli.options import option
from mien.models.registry import DEFAULT

Runs: TypeAlias = Annotated[
    list[Path] | None,
    option(
        options.MODEL,
        "--run RUN",
        "The folder of a training run, to show its training. Repeatable.",
    ),
]
Model: TypeAlias = Annotated[
    str | None,
    option(
        options.MODEL,
        "--model MODEL",
        "The model to evaluate: a shipped model (see: mien models), an ONNX file, or the folder of a "
        f"run. Default: the first --run, else {DEFAULT}.",
    ),
]


AuditModel: TypeAlias = Annotated[
    str,
    option(
        options.MODEL,
        "--audit-model MODEL",
        "The model that searches for label errors, as in mien audit, or 'none'. A weak model of your own "
        "finds its own errors.",
    ),
]


def study(
    data: options.DataOption,
    out: options.OutFolder,
    votes: options.Votes = None,
    run: Runs = None,
    model: Model = None,
    audit_model: AuditModel = DEFAULT,
    split: options.Split = "PublicTest",
) -> None:
    """Write a study: the data, its problems, the network, its training, and an evaluation of the model.

    Writes study.html, one page that needs no other file; each figure as PNG, SVG and PDF; and study.json
    with all numbers. PyTorch is needed only to evaluate a training run that was never exported.
    """
    from mien.cli.progress import progress_bar
    from mien.data import load
    from mien.reports.study import open_study_model
    from mien.reports.study import study as write

    with progress_bar(f"reading {data}") as bar:
        subject = open_study_model(model, run or (), None if audit_model == NO_MODEL else audit_model)
        table = load(data, votes=votes)
        page = write(
            table,
            subject,
            out,
            split=split,
            on_chapter=bar.stage,
            on_section=lambda name: bar.describe(f"drawn: {name}"),
            progress=bar.show,
        )
    typer.echo(f"{page}: {len(table):,} faces, {subject.network.name} evaluated on {split}")
    typer.echo(f"figures as PNG, SVG and PDF and study.json beside it; {page.stat().st_size / 1e6:.1f} MB")
