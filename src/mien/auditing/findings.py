"""Findings of an audit, decisions of a person about them, and the CSV files of both."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.data.table import UNLABELLED, FaceTable
from mien.errors import DataError, FormatError, SourceNotFound, UsageError
from mien.files import csv_text, read_csv, write_atomically

FINDING_COLUMNS = ("row", "split", "kind", "score", "evidence", "label", "suggested")
DECISION_COLUMNS = ("row", "decision", "label")
# accept: the finding is right, remove the face; reject: the finding is wrong, keep the face.
DECISIONS = ("accept", "reject", "relabel")


@dataclass(frozen=True)
class Finding:
    """One possible problem with one face.

    Attributes:
        index: of the face in the table that was audited.
        row: of the face in the source.
        split: of the face.
        kind: name of the detector.
        score: higher is more certain; comparable within a kind only.
        evidence: the reason, in words.
        label: the face's label, empty where it has none.
        suggested: the label it should have, empty where the detector suggests none.
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
    """The decision of a person about the face of one row; `label` is the new label of a relabelled face."""

    row: int
    decision: str
    label: str = ""


def make_finding(
    table: FaceTable, index: int | np.integer, kind: str, score: float, evidence: str, suggested: str = ""
) -> Finding:
    """A finding about the face at this index of the table."""
    label = int(table.labels[index])
    return Finding(
        index=int(index),
        row=int(table.rows[index]),
        split=str(table.splits[index]),
        kind=kind,
        score=round(float(score), 4),
        evidence=evidence,
        label="" if label == UNLABELLED else table.classes[label],
        suggested=suggested,
    )


def write_findings(findings: Iterable[Finding], path: Path) -> None:
    """Write one CSV row per finding, in their order."""
    rows = [[getattr(each, column) for column in FINDING_COLUMNS] for each in findings]
    write_atomically(path, csv_text(FINDING_COLUMNS, rows))


def read_decisions(path: Path) -> list[Decision]:
    """The decisions saved by the gallery, or written by hand; one per row of the source.

    Raises:
        SourceNotFound: no such file.
        FormatError: no decisions, or a line that is not a decision; the message names the line.
    """
    try:
        lines = read_csv(path)
    except FileNotFoundError:
        raise SourceNotFound(
            f"{path} does not exist. Save it from the gallery that mien audit writes."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read as decisions: {error}") from error
    if not lines or not set(DECISION_COLUMNS) <= set(lines[0]):
        raise FormatError(f"{path} has no decisions: it needs the columns {', '.join(DECISION_COLUMNS)}.")
    decided: dict[int, Decision] = {}
    for number, line in enumerate(lines, start=2):
        decision = _decision(path, number, line)
        if decided.setdefault(decision.row, decision) != decision:
            raise FormatError(
                f"{path}, line {number}: row {decision.row} has two different decisions. Keep one of them."
            )
    return list(decided.values())


def apply(table: FaceTable, decisions: Iterable[Decision]) -> FaceTable:
    """The table without the faces whose findings were accepted, and with the new labels of relabelled faces.

    Raises:
        UsageError: a decision names a row that the table does not have, or a label that is no class of it.
    """
    indices = {int(row): index for index, row in enumerate(table.rows)}
    labels, keep = table.labels.copy(), np.ones(len(table), bool)
    for each in decisions:
        if each.row not in indices:
            raise UsageError(
                f"The decisions name row {each.row}, which {table.source or 'the table'} does not have. "
                "Apply them to the source that was audited."
            )
        if each.decision == "accept":
            keep[indices[each.row]] = False
        elif each.decision == "relabel":
            if each.label not in table.classes:
                raise UsageError(
                    f"The decisions call row {each.row} {each.label!r}, which is not one of "
                    f"{', '.join(table.classes)}. Change that line."
                )
            labels[indices[each.row]] = table.classes.index(each.label)
    kept = replace(table, labels=labels).take(keep)
    if not len(kept):
        raise DataError("No face is left after the decisions. Reject some of the findings.")
    return kept


def _decision(path: Path, number: int, line: dict[str, str]) -> Decision:
    row, decision, label = ((line[column] or "").strip() for column in DECISION_COLUMNS)
    if not row.isdecimal() or decision not in DECISIONS or (decision == "relabel") != bool(label):
        raise FormatError(
            f"{path}, line {number}: {row!r}, {decision!r}, {label!r} is not a decision. Give the number of "
            f"a row, one of {', '.join(DECISIONS)}, and a label for relabel only."
        )
    return Decision(int(row), decision, label)
