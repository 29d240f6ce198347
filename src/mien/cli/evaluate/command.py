"""`mien evaluate`: how well a model reads a split, as a table, JSON, CSV, and a page of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import typer

from mien.errors import MissingExtra, UsageError
from mien.evaluation.run import (
    SEED,
    Labels,
    Options,
    ask,
    ask_voter,
    find_voter,
    group_scores,
    judge_split,
)
from mien.models.registry import DEFAULT


def evaluate(
    data: str = typer.Option(
        ...,
        help="FER2013 as CSV, archive or Parquet, a folder or zip with one folder a class, or 'synthetic'.",
        metavar="PATH",
    ),
    model: str = typer.Option(
        DEFAULT, help="A shipped model, an ONNX file with its card beside it, or a training run's folder."
    ),
    split: str = typer.Option("PublicTest", help="The split to score."),
    votes: Path | None = typer.Option(None, help="FER+ votes (fer2013new.csv), joined by row."),
    labels: Labels = typer.Option(
        Labels.fer2013, help="The truth: the labels of the data, or the majority of its FER+ votes."
    ),
    label_map: str | None = typer.Option(
        None,
        help="What folders mean that are not named after emotions: raf-db, affectnet, ck+, or a CSV with the "
        "columns folder,emotion.",
    ),
    head: str | None = typer.Option(
        None, help="Which of the model's answers; by default the one trained on these labels."
    ),
    known_only: bool = typer.Option(
        False, "--known-only", help="Leave out faces of classes that the model does not know."
    ),
    tta: bool = typer.Option(
        False,
        "--tta",
        help="Average the answers to ten views of each face: five crops, and those mirrored.",
    ),
    framing: list[str] | None = typer.Option(
        None,
        help="A yes-or-no question to score from the same probabilities: an emotion against the rest, or "
        "'negative' against positive. Repeatable.",
        metavar="NAME",
    ),
    vote_threshold: float = typer.Option(
        0.3, help="Share of a face's votes, and probability, from which an emotion is one of several labels."
    ),
    groups: Path | None = typer.Option(
        None,
        help="A CSV with a column row or name and columns of groups: scores of each, and the gaps.",
        metavar="FILE",
    ),
    minimum_n: int = typer.Option(50, min=1, help="Groups with fewer faces are not scored."),
    robustness: bool = typer.Option(
        False,
        "--robustness",
        help="Measure the accuracy on damaged pictures too: 45 more looks at each face.",
    ),
    robustness_faces: int | None = typer.Option(
        None, min=1, help="Only so many of the faces for that, drawn at random."
    ),
    out: Path | None = typer.Option(
        None, help="Write figures (PNG and SVG), numbers (JSON) and one HTML page of all here.", metavar="DIR"
    ),
    json: Path | None = typer.Option(None, help="Write the scores here as JSON."),
    predictions: Path | None = typer.Option(None, help="Write every face's probabilities here as CSV."),
    bootstrap: int = typer.Option(2000, min=1, help="Resamples behind the intervals."),
    batch_size: int = typer.Option(256, min=1, help="Faces the model is asked about at once."),
) -> None:
    """Measure a model on a split: accuracy, per class, calibration, and without Training's duplicates.

    With --out, look at it from every side, on one page.
    """
    import numpy as np
    from rich.console import Console

    from mien.cli.evaluate.tables import notes, render
    from mien.data import load
    from mien.data.folders.labels import NO_MAP
    from mien.data.folders.labels import label_map as read_map
    from mien.emotions import binary_task
    from mien.evaluation.extended import score_extended
    from mien.evaluation.result import DataSource, write_json, write_predictions
    from mien.evaluation.result import score_predictions as report
    from mien.evaluation.robustness import measure_robustness
    from mien.models.tta import TtaCrops

    _check_places(json, predictions, out)
    framings = [binary_task(name) for name in dict.fromkeys(framing or ())]
    mapping = NO_MAP if label_map is None else read_map(label_map)
    views = TtaCrops() if tta else None
    asked = ask(model, head, labels, views)
    # Faces of contempt are kept, so that they are scored or named, never left out unsaid.
    table = load(data, votes=votes, contempt="keep", mapping=mapping)
    faces = table.split_counts.get(split, 0)
    with _progress(f"{asked.classifier.name} on {split}", faces) as advance:
        options = Options(table, split, labels.value, known_only, batch_size, advance)
        judged = judge_split(asked, options)
    voter = find_voter(model, asked, labels, table.votes is not None and bool(table.votes.any()), views)
    voted = answers = None
    if voter is not None:
        with _progress(f"{voter.name} against the votes", faces) as advance:
            voted, answers = ask_voter(
                voter, Options(table, split, "ferplus", known_only, batch_size, advance)
            )
    grouped = group_scores(groups, judged, minimum_n, bootstrap)
    damage = None
    if robustness or robustness_faces:
        looks = 45 * min(len(judged.truth), robustness_faces or len(judged.truth))
        with _progress(f"{judged.model} on damaged pictures", looks) as advance:
            damage = measure_robustness(
                asked.classifier,
                judged,
                seed=SEED,
                faces=robustness_faces,
                batch_size=batch_size,
                progress=advance,
            )
    evaluation = report(
        judged,
        np.random.default_rng(SEED),
        data=DataSource(table.source, table.sha256),
        voted=None if labels is Labels.ferplus else voted,
        tta=views,
        resamples=bootstrap,
    )
    depth = score_extended(
        judged,
        np.random.default_rng(SEED),
        voted=answers,
        binary=framings,
        groups=grouped,
        robustness=damage,
        vote_threshold=vote_threshold,
        resamples=bootstrap,
    )
    if json is not None:
        write_json(evaluation, json, depth=depth)
    if predictions is not None:
        write_predictions(judged, predictions)
    console = Console(highlight=False)
    for note in notes(table):
        console.print(note, markup=False)
    for part in render(evaluation, depth):
        console.print(part)
        console.print()
    if out is not None:
        from mien.reports.evaluation import write_evaluation

        with _working("drawing") as done:
            page = write_evaluation(
                evaluation,
                judged,
                out,
                depth=depth,
                applied_temperature=asked.applied_temperature,
                resamples=bootstrap,
                done=done,
            )
        console.print(f"{page}: figures as PNG and SVG, and evaluate.json, beside it", markup=False)


def _check_places(json: Path | None, predictions: Path | None, out: Path | None) -> None:
    """Say at once, and not after minutes, what cannot be written."""
    for path in (json, predictions):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no folder {path.parent}. Create it first.")
    if out is not None and find_spec("matplotlib") is None:
        raise MissingExtra("Drawing figures", "study")


@contextmanager
def _progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, where that is a terminal; gives what moves it by a number of faces."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda faces: bar.advance(task, faces)


@contextmanager
def _working(what: str) -> Iterator[Callable[[str], None]]:
    """A sign of life on stderr; gives what tells it of each part that is done."""
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda part: status.update(f"{what}: {part}")
