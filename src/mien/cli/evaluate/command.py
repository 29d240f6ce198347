"""`mien evaluate`: how well a model reads a split, as a table, JSON, CSV, and a page of figures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli import options
from mien.errors import MissingExtra, UsageError
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from mien.evaluation.result import Evaluation

_EXTRA = "Further measurements"

Split: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="The split to score. Default: PublicTest, or the only split of the data.",
        rich_help_panel=options.DATA,
    ),
]
Truth: TypeAlias = Annotated[
    options.LabelSet,
    typer.Option(
        "--labels",
        metavar="SET",
        help="The truth: fer2013, the labels of the data, or ferplus, the majority of its FER+ votes.",
        rich_help_panel=options.DATA,
    ),
]
KnownOnly: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--known-only",
        help="Leave out faces of classes that the model does not know.",
        rich_help_panel=options.DATA,
    ),
]
Head: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--head",
        metavar="NAME",
        help="The head that predicts. Default: the one trained on these labels.",
        rich_help_panel=options.MODEL,
    ),
]
Tta: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--tta",
        help="Average the probabilities over ten crops of each face: five, and the same mirrored.",
        rich_help_panel=options.MODEL,
    ),
]
BatchSize: TypeAlias = Annotated[
    int,
    typer.Option(
        "--batch-size",
        metavar="N",
        min=1,
        help="Faces in one call of the model.",
        rich_help_panel=options.MACHINE,
    ),
]
Binary: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--binary",
        metavar="NAME",
        help="A binary task to score from the same probabilities: an emotion against the rest, or 'negative' "
        "against positive. Repeatable.",
        rich_help_panel=_EXTRA,
    ),
]
VoteThreshold: TypeAlias = Annotated[
    float,
    typer.Option(
        "--vote-threshold",
        metavar="SHARE",
        help="Share of a face's votes, and probability, from which an emotion is one of its labels.",
        rich_help_panel=_EXTRA,
    ),
]
Groups: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        metavar="FILE",
        help="A CSV with a column row or name and columns of groups: scores of each group, and the gaps.",
        rich_help_panel=_EXTRA,
    ),
]
MinimumN: TypeAlias = Annotated[
    int,
    typer.Option(
        "--minimum-n",
        metavar="N",
        min=1,
        help="Groups with fewer faces are not scored.",
        rich_help_panel=_EXTRA,
    ),
]
Robust: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--robustness",
        help="Measure accuracy on damaged images: evaluates each face under 45 corruptions.",
        rich_help_panel=_EXTRA,
    ),
]
RobustFaces: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--robustness-faces",
        metavar="N",
        min=1,
        help="The same, but limit to this many faces, drawn at random.",
        rich_help_panel=_EXTRA,
    ),
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Write one HTML page, its figures (PNG and SVG) and its numbers (JSON).",
        rich_help_panel=options.OUTPUT,
    ),
]
JsonFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the scores as JSON.", rich_help_panel=options.OUTPUT),
]
CsvFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--predictions",
        metavar="FILE",
        help="Write the probabilities of every face as CSV.",
        rich_help_panel=options.OUTPUT,
    ),
]


def evaluate(
    data: options.DataOption,
    model: options.AnyModel = DEFAULT,
    split: Split = None,
    votes: options.Votes = None,
    labels: Truth = options.LabelSet.fer2013,
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
    bootstrap: options.Bootstrap = 2000,
    batch_size: BatchSize = 256,
) -> None:
    """Measure a model on a split: accuracy, per class, calibration, and without Training's duplicates.

    With --out, every figure and number is written to one page.
    """
    import mien
    from mien.cli.evaluate.tables import print_evaluation
    from mien.cli.progress import progress_bar
    from mien.evaluation.result import write_json, write_predictions

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
    if json is not None:
        write_json(evaluation, json)
    if predictions is not None:
        write_predictions(evaluation.predictions, predictions)
    print_evaluation(evaluation, split_chosen=split is None)
    if out is not None:
        _write_page(evaluation, out, bootstrap)


def _write_page(evaluation: Evaluation, out: Path, bootstrap: int) -> None:
    from mien.cli.progress import progress_bar
    from mien.reports.evaluation import write_evaluation

    with progress_bar("drawing") as bar:
        page = write_evaluation(
            evaluation,
            evaluation.predictions,
            out,
            depth=evaluation.extended,
            applied_temperature=evaluation.applied_temperature,
            resamples=bootstrap,
            done=lambda part: bar.describe(f"drawing: {part}"),
        )
    typer.echo(f"{page}: figures as PNG and SVG, and evaluate.json, beside it")


def _check_outputs(json: Path | None, predictions: Path | None, out: Path | None) -> None:
    """Raise at once, and not after minutes, for what cannot be written."""
    for path in (json, predictions):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written: there is no folder {path.parent}. Create it first.")
    if out is not None and find_spec("matplotlib") is None:
        raise MissingExtra("Drawing figures", "study")
