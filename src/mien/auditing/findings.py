"""What an audit finds, and what a person decides about it: dataclasses and their CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.data.table import UNLABELLED, FaceTable
from mien.errors import DataError, FormatError, SourceNotFound, UsageError

FINDING_COLUMNS = ("row", "split", "kind", "score", "evidence", "label", "suggested")
DECISION_COLUMNS = ("row", "decision", "label")
# accept: the finding is right, the face goes; reject: the finding is wrong, the face stays as it is.
DECISIONS = ("accept", "reject", "relabel")


@dataclass(frozen=True)
class Finding:
    """One suspicion about one face.

    Attributes:
        index: of the face in the table that was audited.
        row: of the face in the source.
        split: of the face.
        kind: of the suspicion, the detector's name.
        score: the higher, the surer; to be compared within a kind only.
        evidence: why, in words.
        label: the face's label, empty where it has none.
        suggested: the label it should have, empty where the detector does not say.
    """

    index: int
    row: int
    split: str
    kind: str
    score: float
    evidence: str
    label: str = ""
    suggested: str = ""


@dataclass(frozen=True)
class Decision:
    """What a person decided about the face of one row; `label` is the new one of a relabelled face."""

    row: int
    decision: str
    label: str = ""


def make_finding(
    table: FaceTable, place: int | np.integer, kind: str, score: float, evidence: str, suggested: str = ""
) -> Finding:
    """A finding about the face at that place of the table."""
    label = int(table.labels[place])
    return Finding(
        index=int(place),
        row=int(table.rows[place]),
        split=str(table.splits[place]),
        kind=kind,
        score=round(float(score), 4),
        evidence=evidence,
        label="" if label == UNLABELLED else table.classes[label],
        suggested=suggested,
    )


def write_findings(findings: Iterable[Finding], path: Path) -> None:
    """A CSV row for every finding, in their order."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FINDING_COLUMNS)
        writer.writerows([getattr(each, column) for column in FINDING_COLUMNS] for each in findings)


def read_decisions(path: Path) -> list[Decision]:
    """The decisions saved by the gallery, or written by hand; one a row of the source.

    Raises:
        SourceNotFound: no such file.
        FormatError: no decisions, or a line that is none; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise SourceNotFound(f"{path} does not exist. The gallery that mien audit writes saves it.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read as decisions: {error}") from error
    if not lines or not set(DECISION_COLUMNS) <= set(lines[0]):
        raise FormatError(f"{path} holds no decisions: it needs the columns {', '.join(DECISION_COLUMNS)}.")
    decided: dict[int, Decision] = {}
    for number, line in enumerate(lines, start=2):
        decision = _decision(path, number, line)
        if decided.setdefault(decision.row, decision) != decision:
            raise FormatError(f"{path}, line {number}: row {decision.row} is decided twice, differently.")
    return list(decided.values())


def apply(table: FaceTable, decisions: Iterable[Decision]) -> FaceTable:
    """The table without the faces that were accepted as bad, with the new labels of those relabelled.

    Raises:
        UsageError: a decision names a row that the table does not have, or a label that is none of its.
    """
    places = {int(row): place for place, row in enumerate(table.rows)}
    labels, keep = table.labels.copy(), np.ones(len(table), bool)
    for each in decisions:
        if each.row not in places:
            raise UsageError(
                f"The decisions name row {each.row}, which {table.source or 'the table'} does not have. "
                "Apply them to the source that was audited."
            )
        if each.decision == "accept":
            keep[places[each.row]] = False
        elif each.decision == "relabel":
            if each.label not in table.classes:
                raise UsageError(
                    f"The decisions call row {each.row} {each.label!r}, which is none of "
                    f"{', '.join(table.classes)}. Change that line."
                )
            labels[places[each.row]] = table.classes.index(each.label)
    kept = FaceTable(
        pixels=table.pixels,
        labels=labels,
        splits=table.splits,
        rows=table.rows,
        classes=table.classes,
        votes=table.votes,
        names=table.names,
        source=table.source,
    ).take(keep)
    if not len(kept):
        raise DataError("No face is left after the decisions. Reject some of the findings.")
    return kept


def _decision(path: Path, number: int, line: dict[str, str]) -> Decision:
    row, decision, label = ((line[column] or "").strip() for column in DECISION_COLUMNS)
    if not row.isdecimal() or decision not in DECISIONS or (decision == "relabel") != bool(label):
        raise FormatError(
            f"{path}, line {number}: {row!r}, {decision!r}, {label!r} is no decision. It is a row's number, "
            f"one of {', '.join(DECISIONS)}, and a label with relabel only."
        )
    return Decision(int(row), decision, label)
