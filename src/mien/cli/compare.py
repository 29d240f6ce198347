"""`mien compare`: runs and models on the same faces, and whether their differences are real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.evaluate.command import Truth
from mien.cli.options import option
from mien.cli.tables import results_table, with_interval

if TYPE_CHECKING:
    from rich.table import Table

    from mien.loading import SourceOfFaces
    from mien.reports.comparison import Comparison

Models: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL MODEL...",
        help="Two or more: folders of runs or of several seeds, ONNX files, shipped names, or CSVs of mien "
        "evaluate --predictions.",
    ),
]
Data: TypeAlias = Annotated[
    str | None,
    option(options.DATA, "--data PATH", "The faces to compare on. Default: those the runs were trained on."),
]
Split: TypeAlias = Annotated[
    str | None,
    option(
        options.DATA,
        "--split NAME",
        "Their split. Default: the one that chose the epoch of the runs, else PublicTest.",
    ),
]
Binary: TypeAlias = Annotated[
    str | None,
    option(
        options.DATA,
        "--binary NAME",
        "Compare on a binary task: an emotion against the rest, or 'negative'. Runs that were trained on"
        " it predict it themselves, others by the sum of their probabilities.",
    ),
]
Out: TypeAlias = Annotated[
    Path | None,
    option(
        options.OUTPUT, "--out DIR", "Write compare.html, its figures (PNG, SVG and PDF) and compare.json."
    ),
]


def compare(
    models: Models,
    data: Data = None,
    split: Split = None,
    votes: options.Votes = None,
    labels: Truth = options.Truth.fer2013,
    binary: Binary = None,
    label_map: options.LabelMapOption = None,
    out: Out = None,
    format: options.Format = None,
    bootstrap: options.Bootstrap = 2000,
) -> None:
    """Compare models on the same faces, and test whether their differences are real.

    Each pair gets McNemar's test and a paired bootstrap interval of the difference; with several pairs the
    p-values are adjusted (Holm). With --out, the learning curves of all runs are drawn too.
    """
    from rich.console import Console

    import mien
    from mien.cli.progress import progress_bar
    from mien.loading import faces_to_compare, runs_among

    runs = runs_among(models)
    faces = faces_to_compare(models, data, votes, split, label_map)
    with progress_bar() as bar:
        comparison = mien.compare(
            models,
            data=faces.data,
            split=faces.split,
            votes=faces.votes,
            labels=labels.value,
            binary=binary,
            label_map=faces.label_map,
            bootstrap=bootstrap,
            progress=bar.show,
        )
    if format is None:
        console = Console(highlight=False)
        for line in _lines(comparison, faces.split, runs):
            text = isinstance(line, str)
            console.print(line, markup=not text, soft_wrap=text)
    else:
        from mien.reports.tabular import of_comparison, render_all

        typer.echo(render_all(of_comparison(comparison), format.value), nl=False)
    if out is not None:
        typer.echo(str(_write(comparison, runs, out, faces)))


def _lines(comparison: Comparison, split: str | None, runs: Sequence[Path]) -> Iterator[str | Table]:
    """What the terminal shows, in its order."""
    from mien.loading import trained_on
    from mien.reports.comparison import scope

    for name, n in comparison.left_out.items():
        yield f"{n:,} faces of {name} are missing from another, and are left out."
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
        count = len(comparison.pairs)
        adjusted = f", adjusted for {count} pairs {pair.p:.3g}" if count > 1 else ""
        yield f"  {pair.paired.evidence(pair.first, pair.second)}{adjusted}."
    chosen = [run.name for run in runs if (known := trained_on(run)) and known.validation == split]
    if chosen:
        yield (
            f"{split} chose the epoch of {', '.join(chosen)}, so the figures there are a little too "
            "good; the differences less so."
        )
    yield scope(comparison)


def _table(comparison: Comparison) -> Table:
    deduplicated = comparison.deduplicated
    title = f"On the same {comparison.n:,} faces" + (
        "" if deduplicated is None else f", {deduplicated.n:,} of them not in Training"
    )
    headings = ["", "accuracy", "macro F1", *(["accuracy, not in Training"] if deduplicated else [])]
    table = results_table(title, *headings, wrap=True)
    for i, each in enumerate(comparison.models):
        seeds = "" if each.seeds is None else f", mean of {len(each.seeds)} seeds"
        cells = [(each.accuracy, each.accuracy_ci95), (each.macro_f1, each.macro_f1_ci95)]
        if deduplicated is not None:
            cells.append((deduplicated.models[i].accuracy, deduplicated.models[i].accuracy_ci95))
        table.add_row(each.name + seeds, *(with_interval(*cell) for cell in cells))
    return table


def _write(comparison: Comparison, runs: Sequence[Path], out: Path, faces: SourceOfFaces) -> Path:
    from mien.reports.comparison import sections
    from mien.reports.document import Chapter, Document
    from mien.reports.training import sections as sections_of_runs
    from mien.reports.writer import write
    from mien.runs.curves import read_runs

    names = ", ".join(each.name for each in comparison.models)
    chapters = [
        Chapter(
            "comparison",
            "Is the difference real?",
            "All predicted the same faces, so that what is hard for everyone cancels out.",
            sections(comparison),
        ),
    ]
    if runs:
        learned = sections_of_runs(read_runs(runs))
        chapters.append(
            Chapter("learning", "How they learned", "From each run's metrics.csv and steps.csv.", learned)
        )
    where = faces.split or "PublicTest or the only split"
    document = Document(
        name="compare",
        title=f"{names} compared",
        lead=f"{comparison.n:,} faces" + (f", {where} of {faces.data}." if faces.data else "."),
        chapters=chapters,
        about={"comparison": comparison.to_dict(), "data": faces.data, "split": faces.split},
    )
    return write(document, out)
