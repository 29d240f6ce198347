"""`mien evaluate`: how well a model reads a split, as a table, JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.errors import MissingExtra, UsageError
from mien.weights import DEFAULT

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from mien.data.table import FaceTable
    from mien.evaluate.classifier import Classifier
    from mien.evaluate.report import Evaluation
    from mien.evaluate.scores import Scores
    from mien.evaluate.tta import Views
    from mien.evaluate.votes import VoteScores

# The intervals must come out the same when the command is repeated.
_SEED = 0


class Labels(StrEnum):
    """Where the truth comes from."""

    fer2013 = "fer2013"
    ferplus = "ferplus"


# The head that was trained on each kind of truth.
_HEADS = {Labels.fer2013: "fer2013", Labels.ferplus: "votes"}


def evaluate(
    data: str = typer.Option(
        ..., help="FER2013 as CSV, archive, folder or Parquet, or 'synthetic'.", metavar="PATH"
    ),
    model: str = typer.Option(
        DEFAULT, help="A shipped model, an ONNX file with its card beside it, or a training run's folder."
    ),
    split: str = typer.Option("PublicTest", help="The split to score."),
    votes: Path | None = typer.Option(None, help="FER+ votes (fer2013new.csv), joined by row."),
    labels: Labels = typer.Option(
        Labels.fer2013, help="The truth: the labels of the data, or the majority of its FER+ votes."
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
    json: Path | None = typer.Option(None, help="Write the scores here as JSON."),
    predictions: Path | None = typer.Option(None, help="Write every face's probabilities here as CSV."),
    bootstrap: int = typer.Option(2000, min=1, help="Resamples behind the intervals."),
    batch_size: int = typer.Option(256, min=1, help="Faces the model is asked about at once."),
) -> None:
    """Measure a model on a split: accuracy, per class, calibration, and without Training's duplicates."""
    import numpy as np
    from rich.console import Console

    from mien.data import load
    from mien.evaluate.predictions import predict_split
    from mien.evaluate.report import DataSource, write_json, write_predictions
    from mien.evaluate.report import evaluate as report
    from mien.evaluate.tta import Views

    for path in (json, predictions):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no folder {path.parent}. Create it first.")
    head = head or _HEADS[labels]
    classifier, heads = _open(model, head)
    # Faces of contempt are kept, so that they are scored or named, never left out unsaid.
    table = load(data, votes=votes, contempt="keep")
    voter = _open(model, "votes")[0] if _wants_voter(labels, heads, table, split) else None
    views = Views() if tta else None
    faces = table.split_counts.get(split, 0)
    with _progress(f"{classifier.name} on {split}", faces if voter is None else 2 * faces) as advance:
        ask = partial(
            predict_split,
            table=table,
            split=split,
            known_only=known_only,
            batch_size=batch_size,
            progress=advance,
        )
        judged = ask(_viewed(classifier, views), head=head, labels=labels.value)
        voted = None if voter is None else ask(_viewed(voter, views), head="votes", labels="ferplus")
    evaluation = report(
        judged,
        np.random.default_rng(_SEED),
        data=DataSource(table.source, table.sha256),
        voted=voted,
        tta=views,
        resamples=bootstrap,
    )
    if json is not None:
        write_json(evaluation, json)
    if predictions is not None:
        write_predictions(judged, predictions)
    console = Console(highlight=False)
    for note in _notes(table):
        console.print(note, markup=False)
    for part in _render(evaluation):
        console.print(part)
        console.print()


def _open(model: str, head: str) -> tuple[Classifier, tuple[str, ...]]:
    """One head of a training run, an ONNX file or a shipped model, and the names of all its heads."""
    folder = Path(model)
    if not folder.is_dir():
        from mien.analyze.classifier import OnnxClassifier

        onnx = OnnxClassifier(model, head=head)
        return onnx, tuple(each.name for each in onnx.card.heads)
    if not (folder / "recipe.toml").is_file():
        raise UsageError(
            f"{folder} is a folder without a recipe.toml, so it is no training run. Give a run's folder, an "
            "ONNX file or the name of a shipped model (see `mien models`)."
        )
    if find_spec("torch") is None:
        raise MissingExtra("Measuring a training run", "train")
    from mien.train.predictor import TorchClassifier

    run = TorchClassifier(folder, head=head)
    return run, run.heads


def _viewed(classifier: Classifier, views: Views | None) -> Classifier:
    """The classifier, asked about several views of each face where there are views."""
    from mien.evaluate.tta import Augmented

    return classifier if views is None else Augmented(classifier, views)


def _wants_voter(labels: Labels, heads: tuple[str, ...], table: FaceTable, split: str) -> bool:
    """Whether the votes head is to be asked too, beside the answer that is scored against other labels."""
    from mien.evaluate.votes import NO_MAJORITY, majority

    if labels is Labels.ferplus or "votes" not in heads or table.votes is None:
        return False
    return bool((majority(table.votes[table.splits == split]) != NO_MAJORITY).any())


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


def _notes(table: FaceTable) -> Iterator[str]:
    """What was wrong with the data."""
    if refused := sum(problem.refused for problem in table.problems):
        yield f"{refused:,} rows of the data could not be read and are not scored; see `mien data info`."
    yield from (f"{problem.where}: {problem.reason}" for problem in table.problems if not problem.refused)


def _render(evaluation: Evaluation) -> Iterator[RenderableType]:
    """The parts of the report for people, top to bottom."""
    from rich.markup import escape

    e = evaluation
    truth = "the labels of the data" if e.labels == "fer2013" else "the majority of the FER+ votes"
    head = [f"{e.split} of {e.data.source}, against {truth}"]
    if e.tta is not None:
        head.append(f"mean of the answers to {len(e.tta)} views of each face (test-time augmentation)")
    if e.left_out:
        head.append("left out: " + ", ".join(f"{count:,} {reason}" for reason, count in e.left_out.items()))
    yield f"[bold]{escape(e.model)}[/bold], head " + escape("\n".join([e.head, *head]))
    yield _summary(e.scores, e.deduplicated)
    yield _per_class(e.scores)
    yield _confusion(e.scores)
    if e.votes is not None:
        yield _votes(e.votes)


def _summary(scores: Scores, deduplicated: Scores | None) -> Table:
    table = _table(
        "Scores", "", "all faces", *([] if deduplicated is None else ["no duplicates of Training"])
    )
    both = [each for each in (scores, deduplicated) if each is not None]
    rows: dict[str, Callable[[Scores], str]] = {
        "accuracy": lambda s: _with_interval(s.accuracy, s.accuracy_ci95),
        "macro F1": lambda s: _with_interval(s.macro_f1, s.macro_f1_ci95),
        "macro precision": lambda s: f"{s.macro_precision:.1%}",
        "macro recall": lambda s: f"{s.macro_recall:.1%}",
        "top-2 accuracy": lambda s: f"{s.top2_accuracy:.1%}",
        "calibration error (ECE)": lambda s: f"{s.ece:.3f}",
        "the same of a perfect model": lambda s: f"{s.ece_noise:.3f}",
        "negative log-likelihood": lambda s: f"{s.nll:.3f}",
        "Brier score": lambda s: f"{s.brier:.3f}",
        "faces": lambda s: f"{s.n:,}",
    }
    for name, show in rows.items():
        table.add_row(name, *(show(each) for each in both))
    return table


def _per_class(scores: Scores) -> Table:
    table = _table("Each class", "", "precision", "recall", "F1", "faces")
    for name, s in scores.per_class.items():
        table.add_row(name, f"{s.precision:.1%}", f"{s.recall:.1%}", f"{s.f1:.1%}", f"{s.support:,}")
    return table


def _confusion(scores: Scores) -> Table:
    """Each row in percent of its faces; right answers bold, frequent mistakes coloured, rare ones dim."""
    table = _table("Of the faces of a row, % that were answered with the column", "", *scores.per_class)
    shares = 100 * scores.confusion / scores.confusion.sum(axis=1, keepdims=True).clip(1)
    for i, (name, row) in enumerate(zip(scores.per_class, shares, strict=True)):
        cells = []
        for j, share in enumerate(row):
            style = "bold" if i == j else "yellow" if share >= 10 else "default" if share >= 2 else "dim"
            cells.append(f"[{style}]{share:.0f}[/{style}]")
        table.add_row(name, *cells)
    return table


def _votes(votes: VoteScores) -> Table:
    table = _table(f"Against the FER+ votes, head {votes.head}", "", f"{votes.n:,} faces with a majority")
    table.add_row("accuracy, 8 classes", _with_interval(votes.accuracy, votes.accuracy_ci95))
    table.add_row("macro F1", f"{votes.macro_f1:.1%}")
    table.add_row("calibration error to the majority", f"{votes.ece:.3f}")
    table.add_row("calibration error to the voters", f"{votes.ece_voters:.3f}")
    table.add_row("KL from the voters, in nats", f"{votes.kl:.3f}")
    table.add_row("best that one smoothed label can do", f"{votes.kl_baseline:.3f}")
    table.add_row("reduction of KL", f"{votes.kl_reduction:.1%}")
    return table


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    return table


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.1%} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
