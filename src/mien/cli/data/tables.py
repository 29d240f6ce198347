"""The output of `mien data info`: the first rows, the counts, and the problems."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mien.data.table import UNLABELLED, FaceTable
from mien.data.votes import Agreement, agreement

_FIRST_ROWS = 5
# So that the other columns fit in 80 characters.
_FIRST_PIXELS = 11
# Source: Goodfellow et al. 2013.
_PUBLISHED = {"Training": 28_709, "PublicTest": 3_589, "PrivateTest": 3_589}


def as_document(table: FaceTable, problems: int) -> dict[str, Any]:
    """The same facts for programs, with the first `problems`."""
    agreed = agreement(table)
    return {
        "source": table.source,
        "rows": len(table),
        "size": [int(side) for side in table.pixels.shape[1:]],
        "classes": list(table.classes),
        "splits": dict(table.split_counts),
        "counts": {split: _class_counts(table, split) for split in table.split_counts},
        "votes": None if agreed is None else _agreement_fields(agreed),
        "sha256": table.sha256,
        "problems": {
            "count": len(table.problems),
            "refused": table.refused,
            "first": [
                {"where": problem.where, "reason": problem.reason, "refused": problem.refused}
                for problem in table.problems[:problems]
            ],
        },
    }


def _agreement_fields(agreed: Agreement) -> dict[str, Any]:
    return {
        "faces": agreed.faces,
        "agreeing": agreed.agreeing,
        "tied": agreed.tied,
        "agreement": agreed.share,
        "by_class": {name: {"faces": n, "agreeing": k} for name, (n, k) in agreed.by_class.items()},
    }


def _class_counts(table: FaceTable, split: str) -> dict[str, int]:
    labels = table.labels[table.splits == split]
    counts = {name: int((labels == label).sum()) for label, name in enumerate(table.classes)}
    unlabelled = int((labels == UNLABELLED).sum())
    return {**counts, "unlabelled": unlabelled} if unlabelled else counts


def print_tables(table: FaceTable, problems: int) -> None:
    """Print all of it to stdout."""
    console = Console(highlight=False)
    height, width = table.pixels.shape[1:]
    columns = ["emotion", "pixels", "Usage", *(["votes"] if table.votes is not None else [])]
    console.print(Text(table.source, style="bold"))
    console.print(f"{len(table):,} faces of {width} x {height} pixels; columns: {', '.join(columns)}\n")
    console.print(_first_rows(table))
    console.print("\nFaces by class and split")
    console.print(_counts(table))
    if missing := _missing(table):
        console.print(f"Missing, compared with the published FER2013: {missing}.")
    if (agreed := agreement(table)) is not None:
        console.print(
            f"\nThe label has most FER+ votes on {agreed.share:.1%} of {agreed.faces:,} faces "
            f"(ties count as no: {agreed.tied:,})"
        )
        console.print(_agreement_table(agreed))
    _print_problems(console, table, problems)


def _first_rows(table: FaceTable) -> Table:
    """The first rows."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("row", justify="right", style="dim", no_wrap=True, min_width=3)
    shown.add_column("emotion", no_wrap=True)
    shown.add_column("pixels", no_wrap=True, overflow="ellipsis")
    shown.add_column("Usage", no_wrap=True)
    if table.names is not None:
        shown.add_column("file", no_wrap=True, overflow="ellipsis")
    for i in range(min(_FIRST_ROWS, len(table))):
        label = int(table.labels[i])
        name = "-" if label == UNLABELLED else f"{label} {table.classes[label]}"
        pixels = " ".join(str(value) for value in table.pixels[i].flat[:_FIRST_PIXELS])
        files = [] if table.names is None else [escape(str(table.names[i]))]
        shown.add_row(str(table.rows[i]), name, f"{pixels}…", escape(str(table.splits[i])), *files)
    return shown


def _counts(table: FaceTable) -> Table:
    """Faces by class and split, and the share of each class in the whole."""
    splits = {split: _class_counts(table, split) for split in table.split_counts}
    names = list(dict.fromkeys(name for counts in splits.values() for name in counts))
    shown = Table()
    shown.add_column("emotion")
    for split in splits:
        shown.add_column(escape(split), justify="right")
    shown.add_column("all", justify="right")
    shown.add_column("share", justify="right")
    for name in names:
        each = [counts.get(name, 0) for counts in splits.values()]
        share = f"{sum(each) / len(table):.1%}"
        shown.add_row(name, *(f"{count:,}" for count in each), f"{sum(each):,}", share)
    shown.add_section()
    totals = [f"{count:,}" for count in table.split_counts.values()]
    shown.add_row("all", *totals, f"{len(table):,}", "100.0%", style="bold")
    return shown


def _missing(table: FaceTable) -> str:
    """What is missing from FER2013; "" for a table in which no split has FER2013's size."""
    counts = {split: table.split_counts.get(split, 0) for split in _PUBLISHED}
    if table.names is not None or not any(counts[split] == size for split, size in _PUBLISHED.items()):
        return ""
    lacking = {split: size - counts[split] for split, size in _PUBLISHED.items() if counts[split] < size}
    return ", ".join(f"{count:,} faces of {split}" for split, count in lacking.items())


def _agreement_table(agreed: Agreement) -> Table:
    shown = Table()
    shown.add_column("label")
    shown.add_column("faces", justify="right")
    shown.add_column("agreeing", justify="right")
    shown.add_column("share", justify="right")
    for name, (faces, agreeing) in agreed.by_class.items():
        share = f"{agreeing / faces:.1%}" if faces else "-"
        shown.add_row(name, f"{faces:,}", f"{agreeing:,}", share)
    return shown


def _print_problems(console: Console, table: FaceTable, limit: int) -> None:
    if not table.problems:
        console.print("\nNo problems found.")
        return
    console.print(f"\n[bold yellow]{len(table.problems):,} problems[/], {table.refused:,} rows refused:")
    for problem in table.problems[:limit]:
        kept = "" if problem.refused else " (no row lost)"
        console.print(Text(f"  {problem.where}: {problem.reason}{kept}"))
    if len(table.problems) > limit:
        left = len(table.problems) - limit
        console.print(f"  and {left:,} more; list them with --problems {len(table.problems)}")
