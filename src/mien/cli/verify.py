"""`mien verify`: measure the models that ship on your own data, and check their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from mien.cli import options
from mien.cli.options import option
from mien.cli.tables import results_table
from mien.errors import CardError, UsageError, VerifyError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mien.evaluation.verification import Check, Verified
    from mien.models.registry import ModelFile

# Splits whose figures a card may have, and that its model was not trained on.
_SPLITS = ("PublicTest", "PrivateTest")


Models: TypeAlias = Annotated[
    list[str] | None,
    option(
        options.MODEL,
        "--model MODEL",
        "A shipped model, or an ONNX file with its card. Repeatable. Default: all shipped models.",
    ),
]


def verify(data: options.DataOption, votes: options.Votes = None, model: Models = None) -> None:
    """Measure the shipped models on your data, and check the figures on their cards.

    The SHA-256 of each file is compared with its card. Every figure on the card that has a 95 % interval is
    measured again on PublicTest, and on PrivateTest if the data has it; it must lie within that interval.
    Figures that the card does not have are shown beside the others. With --votes, the head of votes is
    checked too. The exit code is 10 if a figure was not reproduced.
    """
    from rich.console import Console

    from mien.cli.progress import progress_bar
    from mien.data import load
    from mien.evaluation.verification import verify_model

    console = Console(highlight=False)
    intact, failures = _check_files(model, console)
    with progress_bar(f"reading {data}") as bar:
        table = load(data, votes=votes)
        splits = [split for split in _SPLITS if split in table.split_counts]
        if not splits:
            raise UsageError(
                f"{data} has neither {' nor '.join(_SPLITS)} to measure on; it has: "
                f"{', '.join(table.split_counts)}. Give FER2013 with --data PATH."
            )
        for each in intact:
            results = verify_model(each, table, splits, progress=bar.show)
            for verified in results:
                console.print(f"\n{_title(verified)}", markup=False, soft_wrap=True)
                console.print(_checks_table(verified))
            failures += _failures(each, results)
    if failures:
        raise VerifyError("; ".join(failures))
    console.print("All figures on the model cards were reproduced.")


def _check_files(names: list[str] | None, console: Console) -> tuple[list[ModelFile], list[str]]:
    """The models whose file is the one of their card, and what is wrong with the others."""
    from mien.models.registry import find_model, shipped

    intact, failures = [], []
    names = names or shipped()
    if not names:
        raise UsageError("no model ships with this installation. Name an ONNX file with --model FILE.")
    for name in names:
        try:
            intact.append(find_model(name, verify=True))
            console.print(f"{name}: the file is the one that its card describes", markup=False)
        except CardError as error:
            failures.append(str(error))
    return intact, failures


def _failures(model: ModelFile, results: list[Verified]) -> list[str]:
    """What is wrong with a card, as sentences."""
    measured = [
        check
        for verified in results
        if verified.claimed
        for check in verified.checks
        if check.measured is not None
    ]
    if not measured:
        return [f"{model.card.name}: its card has no figures for what these data can measure"]
    return [
        f"{verified.model}, {verified.split}, head {verified.head}: {_sentence(check)}"
        for verified in results
        if verified.claimed
        for check in verified.checks
        if check.measured is not None and check.card is not None and not check.reproduced
    ]


def _sentence(check: Check) -> str:
    low, high = check.interval or (0.0, 0.0)
    card = f"{check.card:.2%} ({low:.2%} to {high:.2%})"
    return f"{check.figure} is {check.measured:.2%}, but {card} on its card"


def _title(verified: Verified) -> str:
    note = "the card has no figures for it"
    if verified.claimed:
        note = "the same faces as the card" if verified.same_faces else "other data than the card's"
    return f"{verified.model}, {verified.split}, head {verified.head}, {verified.faces:,} faces; {note}"


def _checks_table(verified: Verified) -> Table:
    table = results_table("", "figure", "card", "95 % interval", "measured", "")
    for check in verified.checks:
        low, high = check.interval or (0.0, 0.0)
        both = check.card is not None and check.measured is not None
        table.add_row(
            check.figure,
            "" if check.card is None else f"{check.card:.2%}",
            "" if check.interval is None else f"{100 * low:.1f} to {100 * high:.1f}",
            "not measurable" if check.measured is None else f"{check.measured:.2%}",
            "" if not both else "reproduced" if check.reproduced else "[bold]no[/bold]",
        )
    return table
