"""`mien train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.errors import MissingExtra, UsageError


def train(
    data: Annotated[
        str | None,
        typer.Option(help="FER2013 in any layout, a folder of classes, or 'synthetic'.", metavar="PATH"),
    ] = None,
    votes: Annotated[
        Path | None, typer.Option(help="FER+'s fer2013new.csv: trains the head of votes too.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe or a TOML file; see --list. Default: quick.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the recipe: epochs=5, or section.key=value. Repeatable."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="The weights to begin with: a run's folder, a file, hub, package or random.",
            metavar="WEIGHTS",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/RECIPE-TIME.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder.", metavar="RUN")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps. Default: auto.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: torch's choice.", min=1)] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the shipped recipes and stop.")] = False,
) -> None:
    """Train a network on labelled faces.

    The run's folder holds the resolved recipe, versions, hardware and data hash, metrics by epoch and by
    step, TensorBoard logs, figures, and the best and last checkpoints. Ctrl-C saves and stops; --resume
    goes on, to the bit where the machine and the versions are the same.
    """
    if list_:
        from mien.train.recipe import load_recipe, recipe_names

        for name in recipe_names():
            typer.echo(f"{name:10} {load_recipe(name).description}")
        return
    if resume is None and data is None:
        raise UsageError(
            "say what to train on: --data PATH, or --data synthetic to try it without a data set."
        )
    if resume is not None:
        _refuse_with_resume(recipe=recipe, set=set_, init=init, out=out)
    try:
        from mien.train import start
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Training (package {error.name!r})", "train") from error
    from mien.cli.train_progress import TerminalReporter

    with TerminalReporter() as reporter:
        if resume is not None:
            start.resume(resume, data=data, votes=votes, device=device, threads=threads, reporter=reporter)
            return
        changes = [*(set_ or ()), *([f"network.init={init}"] if init else ())]
        start.start(
            data=str(data),
            recipe=recipe or "quick",
            changes=tuple(changes),
            votes=votes,
            out=out,
            device=device or "auto",
            threads=threads,
            reporter=reporter,
        )


def _refuse_with_resume(**options: object) -> None:
    """A run that goes on keeps its recipe: otherwise nobody could say what its figures are of."""
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise UsageError(
            f"{' and '.join(given)} cannot be given with --resume: a run keeps its recipe. "
            "Start a new run from its weights instead: --init RUN."
        )
