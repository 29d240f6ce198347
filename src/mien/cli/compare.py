"""`mien compare`: runs and models side by side, and whether their difference is real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mien.errors import UsageError
from mien.evaluation.run import Labels
from mien.loading import TrainedOn, is_run, open_classifier, question_of, trained_on

if TYPE_CHECKING:
    from rich.table import Table

    from mien.emotions import BinaryTask
    from mien.evaluation.comparison import PredictedClasses
    from mien.reports.comparison import Comparison
    from mien.reports.document import Chapter
    from mien.runs.curves import Learning

# The intervals must come out the same when the command is repeated.
_SEED = 0
_BATCH = 256
_HEADS = {Labels.fer2013: "fer2013", Labels.ferplus: "votes"}


def compare(
    models: list[str] = typer.Argument(
        help="Two or more: runs' folders, ONNX files, shipped names, CSVs of mien evaluate --predictions.",
        metavar="MODEL MODEL...",
    ),
    data: str | None = typer.Option(
        None, help="The faces to ask about. Default: what the runs were trained on.", metavar="PATH"
    ),
    split: str | None = typer.Option(None, help="Its split. Default: the one that chose the runs' epochs."),
    votes: Path | None = typer.Option(None, help="FER+ votes (fer2013new.csv), joined by row."),
    labels: Labels = typer.Option(
        Labels.fer2013, help="The truth: the labels of the data, or the majority of its FER+ votes."
    ),
    framing: str | None = typer.Option(
        None,
        help="Compare the answers to one question: an emotion against all others, or 'negative'. Runs that "
        "were trained on it answer it themselves, others by the sum of their probabilities.",
    ),
    label_map: str | None = typer.Option(
        None, help="What the data's folders mean: raf-db, affectnet, ck+, or a CSV with folder,emotion."
    ),
    out: Path | None = typer.Option(
        None, help="Write compare.html here, with figures as PNG and SVG and compare.json.", metavar="DIR"
    ),
    bootstrap: int = typer.Option(2000, min=1, help="Resamples behind the intervals."),
) -> None:
    """Hold models against each other on the same faces, and say whether the difference is real.

    Each pair gets McNemar's test and a paired bootstrap interval of the difference; of several pairs the
    p-values are adjusted (Holm). With --out, the learning of all runs is drawn, laid over each other.
    """
    import numpy as np
    from rich.console import Console

    from mien.evaluation.comparison import join_predictions
    from mien.reports.comparison import compare_models

    runs = [Path(model) for model in models if is_run(model)]
    asked = _Asked.of(models, runs, data, votes, split, label_map)
    question = _question(models, framing)
    answers = [_answers(model, asked, labels, question) for model in models]
    if len({each.name for each in answers}) < len(answers):
        # Runs in different folders may have one name; as they were typed, they differ.
        answers = [replace(each, name=model) for each, model in zip(answers, models, strict=True)]
    meeting = join_predictions(answers)
    comparison = compare_models(meeting, lambda: np.random.default_rng(_SEED), resamples=bootstrap)
    console = Console(highlight=False)
    for line in _told(comparison, asked, runs):
        text = isinstance(line, str)
        console.print(line, markup=not text, soft_wrap=text)
    if out is not None:
        typer.echo(str(_write(comparison, runs, out, asked)))


@dataclass(frozen=True)
class _Asked:
    """The faces that models are asked about; `source` is None where there are CSVs only."""

    source: str | None
    votes: Path | None
    split: str
    label_map: str | None = None

    @classmethod
    def of(
        cls,
        models: Sequence[str],
        runs: Sequence[Path],
        data: str | None,
        votes: Path | None,
        split: str | None,
        label_map: str | None,
    ) -> _Asked:
        known = [each for each in map(trained_on, runs) if each is not None]
        split = split or _alike("split", [each.validation for each in known], "PublicTest")
        if data is not None or all(_is_csv(model) for model in models):
            return cls(data, votes, split, label_map)
        if not known:
            raise UsageError(
                "say which faces the models are to be asked about: --data PATH. No run is among them that "
                "says what it was trained on."
            )
        source = _alike("data", [each.data for each in known])
        return cls(source, votes or _some_votes(known), split, label_map or known[0].label_map)


def _alike(what: str, values: list[str], default: str = "") -> str:
    if len(set(values)) > 1:
        raise UsageError(
            f"the runs do not have the same {what} ({', '.join(sorted(set(values)))}): give --{what}."
        )
    return values[0] if values else default


def _some_votes(known: Sequence[TrainedOn]) -> Path | None:
    return next((each.votes for each in known if each.votes is not None), None)


def _is_csv(model: str) -> bool:
    return model.lower().endswith(".csv")


def _question(models: Sequence[str], framing: str | None) -> BinaryTask | None:
    """The question that all are asked.

    Raises:
        UsageError: no such framing, or a run was trained on another one.
    """
    from mien.emotions import binary_task

    own = {name for model in models if not _is_csv(model) and (name := question_of(model))}
    question = binary_task(framing) if framing else None
    if question and any(_is_csv(model) for model in models):
        raise UsageError(
            "a CSV holds the answers to all emotions. With --framing give the models themselves."
        )
    strange = own - {question.name if question else None}
    if strange:
        name = sorted(strange)[0]
        raise UsageError(f"a run among them was trained on {name!r} alone. Compare with --framing {name}.")
    return question


def _answers(model: str, asked: _Asked, labels: Labels, question: BinaryTask | None) -> PredictedClasses:
    from mien.evaluation.comparison import predicted_classes, read_predictions

    if _is_csv(model):
        return read_predictions(Path(model))
    from rich.console import Console
    from rich.progress import track

    from mien.data import load
    from mien.data.folders.labels import NO_MAP, label_map
    from mien.evaluation.binary import as_binary
    from mien.evaluation.predictions import predict_binary, predict_split

    own = question_of(model)
    head = own or _HEADS[labels]
    classifier = open_classifier(model, head)
    mapping = label_map(asked.label_map) if asked.label_map else NO_MAP
    # From the cache, from the second model on.
    table = load(asked.source or "", votes=asked.votes, mapping=mapping)
    console = Console(stderr=True)
    batches = range(-(-table.split_counts.get(asked.split, 0) // _BATCH))
    bar = iter(track(batches, f"{classifier.name} on {asked.split}", console=console, transient=True))
    options: dict[str, Any] = {
        "labels": labels.value,
        "batch_size": _BATCH,
        "progress": lambda _: next(bar, None),
    }
    if own and question:
        return predicted_classes(predict_binary(classifier, table, asked.split, question, **options))
    predictions = predict_split(classifier, table, asked.split, head=head, **options)
    return predicted_classes(as_binary(predictions, question) if question else predictions)


def _told(comparison: Comparison, asked: _Asked, runs: Sequence[Path]) -> Iterator[str | Table]:
    """What the terminal shows, in its order."""
    for name, n in comparison.left_out.items():
        yield f"{n:,} faces of {name} were not answered by all, and are left out."
    yield _table(comparison)
    yield ""
    for pair in comparison.pairs:
        yield pair.verdict
        if comparison.deduplicated is not None:
            other = next(
                each
                for each in comparison.deduplicated.pairs
                if (each.first, each.second) == (pair.first, pair.second)
            )
            yield f"  Without faces that are also in Training: {other.verdict}"
        test = pair.paired.test
        count = len(comparison.pairs)
        adjusted = f", adjusted for {count} pairs {pair.p:.3g}" if count > 1 else ""
        yield (
            f"  {test.only_first:,} faces only {pair.first} named right, {test.only_second:,} only "
            f"{pair.second}; McNemar exact p {test.exact:.3g}, mid-p {test.mid_p:.3g}{adjusted}."
        )
    chosen = [run.name for run in runs if (known := trained_on(run)) and known.validation == asked.split]
    if chosen:
        yield (
            f"{asked.split} chose the epoch of {', '.join(chosen)}, so the figures there are a little too "
            "good; the differences suffer less. All is of these networks: other seeds would give others."
        )


def _table(comparison: Comparison) -> Table:
    from rich import box
    from rich.table import Table

    fresh = comparison.deduplicated
    title = f"On the same {comparison.n:,} faces" + (
        "" if fresh is None else f", {fresh.n:,} of them not in Training"
    )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=title, title_justify="left", title_style="bold")
    for i, head in enumerate(["", "accuracy", "macro F1", *(["accuracy, not in Training"] if fresh else [])]):
        table.add_column(head, justify="right" if i else "left")
    for place, each in enumerate(comparison.judged):
        cells = [(each.accuracy, each.accuracy_ci95), (each.macro_f1, each.macro_f1_ci95)]
        if fresh is not None:
            cells.append((fresh.judged[place].accuracy, fresh.judged[place].accuracy_ci95))
        table.add_row(
            each.name, *(f"{value:.1%} ({100 * low:.1f} to {100 * high:.1f})" for value, (low, high) in cells)
        )
    return table


def _write(comparison: Comparison, runs: Sequence[Path], out: Path, asked: _Asked) -> Path:
    from mien.reports.comparison import sections
    from mien.reports.document import Chapter, Document
    from mien.reports.writer import write

    names = ", ".join(each.name for each in comparison.judged)
    chapters = [
        Chapter(
            "comparison",
            "Is the difference real?",
            "All were asked about the same faces, so that what is hard for everyone cancels out.",
            sections(comparison),
        ),
        *_learning(runs),
    ]
    document = Document(
        name="compare",
        title=f"{names} compared",
        lead=f"{comparison.n:,} faces" + (f", {asked.split} of {asked.source}." if asked.source else "."),
        chapters=chapters,
        about={"comparison": comparison.to_dict(), "data": asked.source, "split": asked.split},
    )
    return write(document, out)


def _learning(runs: Sequence[Path]) -> Iterator[Chapter]:
    from mien.reports.document import Chapter
    from mien.reports.training import sections
    from mien.runs.curves import read_runs

    if runs:
        learned: list[Learning] = read_runs(runs)
        yield Chapter(
            "learning", "How they learned", "From each run's metrics.csv and steps.csv.", sections(learned)
        )
