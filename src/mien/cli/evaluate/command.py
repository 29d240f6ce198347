"""`mien evaluate`: how well a model reads a split, as a table, JSON, CSV, and a page of figures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.options import option
from mien.errors import MissingExtra, UsageError
from mien.files import kind_of_path
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from mien.evaluation.result import Evaluation

_EXTRA = "Further measurements"

Split: TypeAlias = Annotated[
    str | None,
    option(
        options.DATA,
        "--split NAME",
        "The split to score. Default: PublicTest, or the only split of the data.",
    ),
]
Truth: TypeAlias = Annotated[
    options.Truth,
    option(
        options.DATA,
        "--labels SET",
        "The truth: fer2013, the labels of the data, or ferplus, the majority of its FER+ votes.",
    ),
]
KnownOnly: TypeAlias = Annotated[
    bool, option(options.DATA, "--known-only", "Leave out faces of classes that the model does not know.")
]
Head: TypeAlias = Annotated[
    str | None,
    option(options.MODEL, "--head NAME", "The head that predicts. Default: the one trained on these labels."),
]
Tta: TypeAlias = Annotated[
    bool,
    option(
        options.MODEL,
        "--tta",
        "Average the probabilities over ten crops of each face: five, and the same mirrored.",
    ),
]
BatchSize: TypeAlias = Annotated[
    int, option(options.MACHINE, "--batch-size N", "Faces in one call of the model.", min=1)
]
Binary: TypeAlias = Annotated[
    list[str] | None,
    option(
        _EXTRA,
        "--binary NAME",
        "A binary task to score from the same probabilities: an emotion against the rest, or 'negative' "
        "against positive. Repeatable.",
    ),
]
VoteThreshold: TypeAlias = Annotated[
    float,
    option(
        _EXTRA,
        "--vote-threshold SHARE",
        "Share of a face's votes, and probability, from which an emotion is one of its labels.",
    ),
]
Groups: TypeAlias = Annotated[
    Path | None,
    option(
        _EXTRA,
        "--groups FILE",
        "A CSV with a column row or name and columns of groups: scores of each group, and the gaps.",
    ),
]
MinimumN: TypeAlias = Annotated[
    int, option(_EXTRA, "--minimum-n N", "Groups with fewer faces are not scored.", min=1)
]
Robust: TypeAlias = Annotated[
    bool,
    option(
        _EXTRA,
        "--robustness",
        "Measure accuracy on damaged images: evaluates each face under 45 corruptions.",
    ),
]
RobustFaces: TypeAlias = Annotated[
    int | None,
    option(_EXTRA, "--robustness-faces N", "The same, but limit to this many faces, drawn at random.", min=1),
]
Out: TypeAlias = Annotated[
    Path | None,
    option(
        options.OUTPUT,
        "--out DIR",
        "Write one HTML page, its figures (PNG, SVG and PDF) and its numbers (JSON).",
    ),
]
JsonFile: TypeAlias = Annotated[
    Path | None, option(options.OUTPUT, "--json FILE", "Write the scores as JSON.")
]
CsvFile: TypeAlias = Annotated[
    Path | None, option(options.OUTPUT, "--predictions FILE", "Write the probabilities of every face as CSV.")
]


def evaluate(
    data: options.DataOption,
    model: options.AnyModel = DEFAULT,
    split: Split = None,
    votes: options.Votes = None,
    labels: Truth = options.Truth.fer2013,
    label_map: options.LabelMapOption = None,
    head: Head = None,
    known_only: KnownOnly = False,
    tta: Tta = False,
    binary: Binary = None,
    vote_threshold: VoteThreshold = 0.3,
    groups: Groups = None,
    minimum_n: MinimumN = 50,
    robustness: Robust = False,
    robustness_faces: RobustFaces = None,
    out: Out = None,
    json: JsonFile = None,
    predictions: CsvFile = None,
    format: options.Format = None,
    bootstrap: options.Bootstrap = 2000,
    batch_size: BatchSize = 256,
) -> None:
    """Measure a model on a split: accuracy, per class, calibration, and without Training's duplicates.

    With --out, every figure and number is written to one page.
    """
    import mien
    from mien.cli.progress import progress_bar

    _check_outputs(json, predictions, out)
    with progress_bar(f"reading {data}") as bar:
        evaluation = mien.evaluate(
            model,
            data=data,
            split=split,
            votes=votes,
            labels=labels.value,
            label_map=label_map,
            head=head,
            known_only=known_only,
            tta=tta,
            binary=binary or (),
            vote_threshold=vote_threshold,
            groups=groups,
            minimum_n=minimum_n,
            robustness=robustness,
            robustness_faces=robustness_faces,
            bootstrap=bootstrap,
            batch_size=batch_size,
            progress=bar.show,
        )
    _write_files(evaluation, json, predictions)
    _print(evaluation, format, split_chosen=split is None)
    if out is not None:
        _write_page(evaluation, out, bootstrap)


def _write_files(evaluation: Evaluation, json: Path | None, predictions: Path | None) -> None:
    from mien.evaluation.result import write_json, write_predictions

    if json is not None:
        write_json(evaluation, json)
    if predictions is not None:
        write_predictions(evaluation.predictions, predictions)


def _print(evaluation: Evaluation, format: options.TableFormat | None, *, split_chosen: bool) -> None:
    if format is None:
        from mien.cli.evaluate.tables import print_evaluation

        print_evaluation(evaluation, split_chosen=split_chosen)
        return
    from mien.reports.tabular import of_evaluation, render_all

    typer.echo(render_all(of_evaluation(evaluation), format.value), nl=False)


def _write_page(evaluation: Evaluation, out: Path, bootstrap: int) -> None:
    from mien.cli.progress import progress_bar
    from mien.reports.evaluation import write_evaluation

    with progress_bar("drawing") as bar:
        page = write_evaluation(
            evaluation,
            evaluation.predictions,
            out,
            extended=evaluation.extended,
            applied_temperature=evaluation.applied_temperature,
            resamples=bootstrap,
            on_section=lambda section: bar.describe(f"drawing: {section}"),
        )
    typer.echo(f"{page}: figures as PNG, SVG and PDF, and evaluate.json, beside it")


def _check_outputs(json: Path | None, predictions: Path | None, out: Path | None) -> None:
    """Raise at once, and not after minutes, for what cannot be written."""
    for path in (json, predictions):
        if path is not None and kind_of_path(path.parent, UsageError) != "folder":
            raise UsageError(f"{path} cannot be written: there is no folder {path.parent}. Create it first.")
    if out is not None and find_spec("matplotlib") is None:
        raise MissingExtra("Drawing figures", "study")
