"""`mien train`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from mien.cli.options import DATA, MACHINE, OUTPUT, LabelMapOption, OptionalData, TableFormat, option
from mien.errors import MissingExtra, UsageError
from mien.files import kind_of_path

if TYPE_CHECKING:
    from mien.runs.preview import Preview
    from mien.runs.seeds import SeedRuns

_RECIPE, _FOLDS = "Recipe", "Validation"

Votes: TypeAlias = Annotated[
    Path | None, option(DATA, "--votes FILE", "FER+ votes (fer2013new.csv), to train a second head.")
]
RecipeName: TypeAlias = Annotated[
    str | None,
    option(_RECIPE, "--recipe NAME", "A shipped recipe (see --list) or a TOML file. Default: quick."),
]
Changes: TypeAlias = Annotated[
    list[str] | None,
    option(
        _RECIPE,
        "--set KEY=VALUE",
        "Change a value of the recipe: epochs=5 or schedule.epochs=5. Repeatable.",
    ),
]
Init: TypeAlias = Annotated[
    str | None,
    option(
        _RECIPE,
        "--init WEIGHTS",
        "Initial weights: the folder of a run, a shipped model (mien-lite0), a file, hub, package or random.",
    ),
]
List: TypeAlias = Annotated[bool, option(_RECIPE, "--list", "List the shipped recipes and exit.")]
Holdout: TypeAlias = Annotated[
    float | None,
    option(
        _FOLDS,
        "--holdout SHARE",
        "Hold out this share of the training faces to choose the best epoch, such as 0.15.",
    ),
]
Folds: TypeAlias = Annotated[
    int | None,
    option(_FOLDS, "--folds N", "Cross-validate: train one run per fold; no person is in two folds.", min=2),
]
Fold: TypeAlias = Annotated[
    int | None, option(_FOLDS, "--fold N", "Train only this fold, counted from 1. Needs --folds.", min=1)
]
Seeds: TypeAlias = Annotated[
    str | None,
    option(
        _FOLDS,
        "--seeds N",
        "Train one run per seed, N from 0 on or a list such as 0,7,42: mean, spread and interval.",
    ),
]
Format: TypeAlias = Annotated[
    TableFormat | None,
    option(_FOLDS, "--format NAME", "The table of the seeds as markdown, latex or csv. Default: markdown."),
]
Out: TypeAlias = Annotated[
    Path | None, option(OUTPUT, "--out DIR", "The folder of the run. Default: runs/RECIPE-TIME.")
]
Resume: TypeAlias = Annotated[Path | None, option(OUTPUT, "--resume RUN", "Resume the run in this folder.")]
PreviewFolder: TypeAlias = Annotated[
    Path | None, option(OUTPUT, "--preview DIR", "Draw the first augmented faces into this folder and exit.")
]
LrFolder: TypeAlias = Annotated[
    Path | None,
    option(
        OUTPUT,
        "--find-lr DIR",
        "Train 200 steps at rising learning rates, draw the loss into this folder, suggest a rate, exit.",
    ),
]
Track: TypeAlias = Annotated[
    list[str] | None,
    option(OUTPUT, "--track NAME", "Send the figures of each epoch to wandb or mlflow, too. Repeatable."),
]
Device: TypeAlias = Annotated[
    str | None, option(MACHINE, "--device NAME", "auto, cpu, cuda, cuda:1 or mps. Default: auto.")
]
Threads: TypeAlias = Annotated[
    int | None, option(MACHINE, "--threads N", "CPU threads. Default: PyTorch's.", min=1)
]


def train(
    data: OptionalData = None,
    votes: Votes = None,
    label_map: LabelMapOption = None,
    recipe: RecipeName = None,
    set_: Changes = None,
    init: Init = None,
    list_: List = False,
    holdout: Holdout = None,
    folds: Folds = None,
    fold: Fold = None,
    seeds: Seeds = None,
    format: Format = None,
    out: Out = None,
    resume: Resume = None,
    preview: PreviewFolder = None,
    find_lr: LrFolder = None,
    track: Track = None,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Train a network on labelled faces.

    The folder of the run contains the resolved recipe, versions, hardware, a hash of the data, metrics per
    epoch and per step, TensorBoard logs, figures, and the best and last checkpoints. Ctrl-C saves and stops;
    --resume goes on, with bit-identical results on the same machine and versions.

    With --folds or --seeds, there is one such folder per fold or seed, and a summary of all of them.
    """
    if list_:
        _list_recipes()
        return
    if resume is None and data is None:
        raise UsageError("no data. Give --data PATH, or --data synthetic to train without a data set.")
    changed: dict[str, object] = {"recipe": recipe, "set": set_, "init": init, "out": out}
    if resume is not None:
        changed |= {"label-map": label_map, "holdout": holdout, "folds": folds, "fold": fold}
        changed |= {"seeds": seeds, "track": track}
        _refuse_with_resume(**changed, preview=preview, **{"find-lr": find_lr})
        _resume(resume, format, data=data, votes=votes, device=device, threads=threads)
        return
    texts = [*(set_ or ()), *([f"network.init={init}"] if init else ())]
    divided = {"holdout": holdout, "folds": folds, "fold": fold}
    texts += [f"data.{name}={value}" for name, value in divided.items() if value]
    faces = {"data": data, "votes": votes, "label_map": label_map}
    if preview is not None:
        _preview(preview, recipe or "quick", texts, faces)
        return
    machine = {"device": device or "auto", "threads": threads}
    if find_lr is not None:
        _find_lr(find_lr, recipe or "quick", texts, {**faces, **machine})
        return
    options = {**faces, **machine, "out": out, "track": track or ()}
    if seeds is not None:
        _train_seeds(recipe or "quick", texts, _parsed_seeds(seeds), format, options)
        return
    _train(recipe or "quick", texts, options)


def _list_recipes() -> None:
    with _needs_extra():
        from mien.runs.recipe import load_recipe, recipe_names
    for name in recipe_names():
        typer.echo(f"{name:10} {load_recipe(name).description}")


def _train(recipe: str, texts: list[str], options: dict[str, Any]) -> None:
    """One run; or one per fold, if the recipe has folds and none of them is chosen."""
    with _needs_extra():
        from mien.cli.train.progress import TerminalReporter
        from mien.runs.recipe import load_recipe, parse_changes
        from mien.training import api
        from mien.training.repeated.cross_validation import cross_validate
    changes = parse_changes(texts)
    plan = load_recipe(recipe, changes)
    several = plan.data.folds and "data.fold" not in changes
    with TerminalReporter() as reporter:
        (cross_validate if several else api.train)(plan, **options, reporter=reporter)


def _train_seeds(
    recipe: str, texts: list[str], seeds: int | list[int], format: TableFormat | None, options: dict[str, Any]
) -> None:
    with _needs_extra():
        from mien.cli.train.progress import TerminalReporter
        from mien.runs.recipe import load_recipe, parse_changes
        from mien.training.repeated.seeds import train_seeds
    plan = load_recipe(recipe, parse_changes(texts))
    with TerminalReporter() as reporter:
        result = train_seeds(plan, seeds, **options, reporter=reporter)
    _print_seeds(result, format)


def _parsed_seeds(text: str) -> int | list[int]:
    """``"3"`` is a number of seeds, ``"0,7,42"`` a list."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text!r} is neither a number, as 3, nor a list, as 0,7,42.") from None
    return numbers if "," in text else numbers[0]


def _print_seeds(result: SeedRuns, format: TableFormat | None) -> None:
    from mien.reports.tabular import of_seeds, render_all

    typer.echo(render_all(of_seeds(result), format.value if format else "markdown"), nl=False)


def _resume(folder: Path, format: TableFormat | None, **options: Any) -> None:
    with _needs_extra():
        from mien.cli.train.progress import TerminalReporter
        from mien.runs import folds, seed_folder
        from mien.training import api
        from mien.training.repeated import cross_validation, seeds
    with TerminalReporter() as reporter:
        if kind_of_path(folder / folds.PLAN, UsageError) == "file":
            cross_validation.resume_cross_validation(folder, reporter=reporter)
        elif kind_of_path(folder / seed_folder.PLAN, UsageError) == "file":
            _print_seeds(seeds.resume_seeds(folder, reporter=reporter), format)
        else:
            api.resume(folder, **options, reporter=reporter)


def _preview(folder: Path, recipe: str, texts: list[str], faces: dict[str, Any]) -> None:
    with _needs_extra():
        from mien.cli.train.progress import TerminalReporter
        from mien.runs.recipe import parse_changes
        from mien.training import api
    with TerminalReporter() as reporter:
        _draw(api.preview(recipe, **faces, reporter=reporter, **parse_changes(texts)), folder)


def _find_lr(folder: Path, recipe: str, texts: list[str], options: dict[str, Any]) -> None:
    with _needs_extra():
        from mien.cli.train.progress import TerminalReporter
        from mien.runs.lr_range import write_lr_range
        from mien.runs.recipe import parse_changes
        from mien.training.lr_finder import find_lr
    with TerminalReporter() as reporter:
        found = find_lr(recipe, **options, reporter=reporter, **parse_changes(texts))
    for path in write_lr_range(found, folder):
        typer.echo(str(path))
    typer.echo(
        f"--set optimizer.lr={found.suggestion:.1e}  (there the loss falls fastest; it is lowest at "
        f"{found.lowest_loss:.1e}, and training becomes unstable above)"
    )


def _draw(preview: Preview, folder: Path) -> None:
    from mien.reports.training import preview_section
    from mien.reports.writer import save_figure

    folder.mkdir(parents=True, exist_ok=True)
    for path in save_figure(preview_section(preview), folder):
        typer.echo(str(path))


def _refuse_with_resume(**options: object) -> None:
    """A resumed run keeps its recipe, so that its figures are those of one recipe."""
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise UsageError(
            f"{' and '.join(given)} cannot be given with --resume: a run keeps its recipe. "
            "Start a new run from its weights instead: --init RUN."
        )


@contextmanager
def _needs_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Training (package {error.name!r})", "train") from error
