"""`mien study`: everything about data, training and model on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.errors import UsageError
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from mien.reports.study import StudyModel


def study(
    data: str = typer.Option(
        help="FER2013's CSV, plain or packed; Parquet; a folder with one folder a class; or 'synthetic'.",
        metavar="PATH",
    ),
    out: Path = typer.Option(help="The folder to write to; made if it is not there.", metavar="DIR"),
    votes: Path | None = typer.Option(None, help="FER+ votes (fer2013new.csv), joined by row."),
    run: list[Path] | None = typer.Option(
        None, help="A training run's folder: how it learned is shown too. Repeatable.", metavar="RUN"
    ),
    model: str | None = typer.Option(
        None,
        help="The model that is judged: a shipped name, an ONNX file or a run's folder. Default: the first "
        f"--run, else {DEFAULT}.",
    ),
    split: str = typer.Option("PublicTest", help="The split on which the model is judged."),
) -> None:
    """Write the whole study: the data, what is wrong with it, the network, how it learned, how good it is.

    One page, study.html, that needs no other file; beside it every figure as PNG and SVG, and all numbers
    as study.json. Needs no PyTorch, unless a training run is judged that was never exported.
    """
    from mien.data import load
    from mien.reports.study import study as write

    runs = tuple(run or ())
    chosen = model or _model_of(runs)
    with _progress(f"reading {data}") as (begin, done, asked):
        table = load(data, votes=votes)
        page = write(table, _subject(chosen, runs), out, split=split, begin=begin, done=done, asked=asked)
    typer.echo(f"{page}: {len(table):,} faces, {chosen} judged on {split}")
    typer.echo(f"figures as PNG and SVG and study.json beside it; {page.stat().st_size / 1e6:.1f} MB")


def _model_of(runs: tuple[Path, ...]) -> str:
    """What is judged where nobody said: what the first run was exported as, the run itself, the default.

    Raises:
        UsageError: a run that is no run, or one that was not exported, and no PyTorch to ask it.
    """
    from mien.loading import is_run

    for run in runs:
        if not is_run(run):
            raise UsageError(f"{run} is no folder of a training run. Give one such as runs/NAME.")
    if not runs:
        return DEFAULT
    exported = sorted(path for path in runs[0].glob("*.onnx") if path.with_suffix(".json").is_file())
    if exported:
        return str(exported[0])
    if find_spec("torch") is None:
        raise UsageError(
            f"{runs[0]} holds no exported model, and PyTorch is not installed to ask the run itself. Install "
            f"'mien[train]', or judge a shipped model: --model {DEFAULT}."
        )
    return str(runs[0])


def _subject(model: str, runs: tuple[Path, ...]) -> StudyModel:
    """The model of a name or path, opened once, with both of its heads where it has both."""
    from mien.loading import is_run, load_model
    from mien.models.classifier import HeadClassifier
    from mien.models.registry import find_model
    from mien.reports.network import network_of_card, network_of_run
    from mien.reports.study import StudyModel

    opened = load_model(model)
    network = network_of_run(Path(model)) if is_run(model) else network_of_card(find_model(model).card)
    heads = [head for head in ("fer2013", "votes") if head in opened.heads]
    temperature = opened.temperatures[heads[0]] if heads else 1.0
    return StudyModel(network, {head: HeadClassifier(opened, head) for head in heads}, temperature, runs)


@contextmanager
def _progress(
    first: str,
) -> Iterator[tuple[Callable[[str], None], Callable[[str], None], Callable[[int], None]]]:
    """A bar on stderr that moves on with each chapter; gives what tells it of chapters, parts and faces."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from mien.reports.study import CHAPTERS

    columns = (SpinnerColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(first, total=CHAPTERS)
        title, faces = "", 0

        def begin(chapter: str) -> None:
            nonlocal title, faces
            if title:
                progress.advance(task)
            title, faces = chapter, 0
            progress.update(task, description=title)

        def asked(n: int) -> None:
            nonlocal faces
            faces += n
            progress.update(task, description=f"{title}: {faces:,} faces looked at")

        yield begin, lambda part: progress.update(task, description=f"{title}: {part}"), asked
