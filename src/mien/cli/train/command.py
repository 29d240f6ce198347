"""`mien train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from mien.runs.preview import Preview


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
            help="The weights to begin with: a run's folder, a shipped model (mien-lite0), a file, hub, "
            "package or random.",
            metavar="WEIGHTS",
        ),
    ] = None,
    label_map: Annotated[
        str | None,
        typer.Option(
            help="What folders mean that are not named after emotions: raf-db, affectnet, ck+, or a CSV with "
            "folder,emotion.",
            metavar="MAP",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Train a run for each of so many folds, no person in two of them.", min=2),
    ] = None,
    fold: Annotated[
        int | None, typer.Option(help="Only this fold, counted from 1. With --folds.", min=1)
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(help="Draw the first augmented faces into this folder and stop.", metavar="DIR"),
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

    With --folds, each run's folder is in one that also says what all folds say together.
    """
    if list_:
        from mien.runs.recipe import load_recipe, recipe_names

        for name in recipe_names():
            typer.echo(f"{name:10} {load_recipe(name).description}")
        return
    if resume is None and data is None:
        raise UsageError(
            "say what to train on: --data PATH, or --data synthetic to try it without a data set."
        )
    if resume is not None:
        refused = {"label-map": label_map, "folds": folds, "fold": fold, "preview": preview}
        _refuse_with_resume(recipe=recipe, set=set_, init=init, out=out, **refused)
    try:
        from mien.training import api as start
        from mien.training import cross_validation
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Training (package {error.name!r})", "train") from error
    from mien.cli.train.progress import TerminalReporter

    with TerminalReporter() as reporter:
        if resume is not None and (resume / cross_validation.PLAN).exists():
            cross_validation.resume_cross_validation(resume, reporter=reporter)
            return
        if resume is not None:
            start.resume(resume, data=data, votes=votes, device=device, threads=threads, reporter=reporter)
            return
        changes = [*(set_ or ()), *([f"network.init={init}"] if init else ())]
        changes += [f"data.folds={folds}"] if folds else []
        changes += [f"data.fold={fold}"] if fold else []
        asked: dict[str, Any] = {
            "data": str(data),
            "recipe": recipe or "quick",
            "votes": votes,
            "label_map": label_map,
        }
        if preview is not None:
            _draw_preview(preview, start.preview(**asked, changes=tuple(changes), reporter=reporter))
            return
        several = start.has_folds(recipe or "quick", tuple(changes)) and not _names_fold(changes)
        go = cross_validation.cross_validate if several else start.start
        go(
            **asked,
            changes=tuple(changes),
            out=out,
            device=device or "auto",
            threads=threads,
            reporter=reporter,
        )


def _names_fold(changes: list[str]) -> bool:
    """Whether one fold was asked for, be it by --fold or by --set."""
    return any(change.partition("=")[0].strip() in ("fold", "data.fold") for change in changes)


def _draw_preview(folder: Path, preview: Preview) -> None:
    from mien.plotting import new_figure, save
    from mien.reports.training import preview_section

    folder.mkdir(parents=True, exist_ok=True)
    part = preview_section(preview)
    figure, axes = new_figure(*part.size)
    part.draw(axes)
    for path in save(figure, folder, part.name):
        typer.echo(str(path))


def _refuse_with_resume(**options: object) -> None:
    """A run that goes on keeps its recipe: otherwise nobody could say what its figures are of."""
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise UsageError(
            f"{' and '.join(given)} cannot be given with --resume: a run keeps its recipe. "
            "Start a new run from its weights instead: --init RUN."
        )
