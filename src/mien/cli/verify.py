"""`mien verify`: measure the models that ship on your own data, and hold their cards to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mien.errors import CardError, UsageError, VerifyError

if TYPE_CHECKING:
    from rich.table import Table

    from mien.data.table import FaceTable
    from mien.evaluation.verification import Check
    from mien.models.registry import ModelFile

# What each head is held against.
_TRUTH: dict[str, Literal["fer2013", "ferplus"]] = {"fer2013": "fer2013", "votes": "ferplus"}

# Splits that a card may speak of, or that its model has never seen.
_SPLITS = ("PublicTest", "PrivateTest")


@dataclass(frozen=True)
class Verified:
    """One head of one model on one split.

    Attributes:
        claimed: whether the card has figures for it; where not, what was measured stands alone.
        same_faces: whether these are the very faces that the card's figures are of, as far as their data's
            hash tells.
    """

    model: str
    split: str
    head: str
    faces: int
    claimed: bool
    same_faces: bool
    checks: tuple[Check, ...]


def verify(
    data: Annotated[
        str, typer.Option(help="FER2013 in any layout, with PublicTest, PrivateTest or both.", metavar="PATH")
    ],
    votes: Annotated[
        Path | None, typer.Option(help="FER+'s fer2013new.csv: verifies the head of votes too.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A shipped model, or an ONNX file with its card. Repeatable. Default: all that ship."
        ),
    ] = None,
) -> None:
    """Measure the shipped models on your data; fails where a card's figures do not come out.

    Each file's SHA-256 is held against its card. Every figure of the card that has a 95 % interval is
    measured again on PublicTest, and on PrivateTest if the data has it, and must lie within that interval;
    what the card has no figure for is shown beside it. Exit code 10: a card did not come true.
    """
    from rich.console import Console

    from mien.data import load
    from mien.models.registry import find_model, shipped

    names = model or shipped()
    if not names:
        raise UsageError("no model ships with this installation. Name an ONNX file with --model FILE.")
    console, failures = Console(highlight=False), []
    intact = []
    for name in names:
        try:
            intact.append(find_model(name, verify=True))
            console.print(f"{name}: the file is the one that its card describes", markup=False)
        except CardError as error:
            failures.append(str(error))
    with Console(stderr=True).status(f"Reading {data}") as status:
        table = load(data, votes=votes)
        splits = [split for split in _SPLITS if split in table.split_counts]
        if not splits:
            raise UsageError(
                f"{data} has neither {' nor '.join(_SPLITS)} to measure on; it has: "
                f"{', '.join(table.split_counts)}. Give FER2013 with --data PATH."
            )
        for each in intact:
            done = _verify_model(each, table, splits, status.update)
            for found in done:
                console.print(f"\n{_title(found)}", markup=False, soft_wrap=True)
                console.print(_show(found))
            failures += _failures(each, done)
    if failures:
        raise VerifyError("; ".join(failures))
    console.print("Every card came true.")


def _verify_model(
    model: ModelFile, table: FaceTable, splits: list[str], tell: Callable[[str], None]
) -> list[Verified]:
    """Each split and head of a model that the data has the truth of."""
    done = []
    for split in splits:
        for head in model.card.heads:
            if _TRUTH[head.name] == "fer2013" or table.votes is not None:
                tell(f"Measuring {model.card.name}, head {head.name}, on {split}")
                done.append(_verify_head(model, head.name, table, split))
    return done


def _verify_head(model: ModelFile, head: str, table: FaceTable, split: str) -> Verified:
    import numpy as np

    from mien.evaluation.predictions import predict_split
    from mien.evaluation.result import DataSource, score_predictions
    from mien.evaluation.verification import check_figures
    from mien.models.onnx import OnnxClassifier

    classifier = OnnxClassifier(model.onnx, head=head, device="cpu")
    predictions = predict_split(classifier, table, split, head=head, labels=_TRUTH[head])
    measured = score_predictions(
        predictions, np.random.default_rng(0), data=DataSource(table.source, table.sha256)
    ).to_dict()
    claim: dict[str, Any] | None = model.card.figures.get(split, {}).get(head)
    return Verified(
        model=model.card.name,
        split=split,
        head=head,
        faces=len(predictions.truth),
        claimed=claim is not None,
        same_faces=claim is not None and claim.get("data", {}).get("sha256") == table.sha256,
        checks=tuple(check_figures(claim or {}, measured)),
    )


def _failures(model: ModelFile, done: list[Verified]) -> list[str]:
    """What is wrong with a card, in words."""
    held = [check for found in done if found.claimed for check in found.checks if check.measured is not None]
    if not held:
        return [f"{model.card.name}: its card has no figures for what these data can measure"]
    return [
        f"{found.model}, {found.split}, head {found.head}: {_words(check)}"
        for found in done
        if found.claimed
        for check in found.checks
        if check.measured is not None and check.card is not None and not check.holds
    ]


def _words(check: Check) -> str:
    low, high = check.interval or (0.0, 0.0)
    card = f"{check.card:.2%} ({low:.2%} to {high:.2%})"
    return f"{check.figure} is {check.measured:.2%}, where its card says {card}"


def _title(found: Verified) -> str:
    note = "the card has no figures for it"
    if found.claimed:
        note = "the very faces of the card" if found.same_faces else "other data than the card's"
    return f"{found.model}, {found.split}, head {found.head}, {found.faces:,} faces; {note}"


def _show(found: Verified) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    for column in ("card", "95 % interval", "measured", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for check in found.checks:
        low, high = check.interval or (0.0, 0.0)
        both = check.card is not None and check.measured is not None
        table.add_row(
            check.figure,
            "" if check.card is None else f"{check.card:.2%}",
            "" if check.interval is None else f"{100 * low:.1f} to {100 * high:.1f}",
            "not measurable" if check.measured is None else f"{check.measured:.2%}",
            "" if not both else "holds" if check.holds else "[bold]no[/bold]",
        )
    return table
