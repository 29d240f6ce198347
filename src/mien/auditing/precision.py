"""How often a detector is right, measured on the faces that it is surest of, against the FER+ votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.auditing.findings import Finding
from mien.data.table import UNLABELLED, FaceTable
from mien.data.votes import NO_MAJORITY, majority
from mien.emotions import VOTES
from mien.errors import UsageError


@dataclass(frozen=True)
class Precision:
    """Of a detector's surest findings, the share that the voters confirm.

    Attributes:
        kind: the detector's.
        split: of the faces that it was measured on; empty for all.
        at: how many of the surest were asked for.
        n: how many there were, at most `at`.
        share: of the `n`, those confirmed, 0-1.
        there: how many faces of the split the votes would confirm in all, found or not.
    """

    kind: str
    split: str
    at: int
    n: int
    share: float
    there: int


def confirmed_by_votes(table: FaceTable, kind: str) -> NDArray[np.bool_] | None:
    """A mask (N,) of the faces for which the votes confirm a finding of this kind; None where they cannot.

    They confirm that a picture shows no face where "not a face" is the answer with most votes, alone; and
    that a label is wrong where the FER+ majority (`mien.data.votes.majority`) is another emotion: a face
    without a majority counts as not confirmed. What was found by the votes themselves cannot be measured by
    them.

    Raises:
        UsageError: the table has no votes.
    """
    if table.votes is None:
        raise UsageError("Precision is measured against FER+ votes. Give fer2013new.csv with --votes.")
    votes = table.votes
    top = votes.argmax(axis=1)
    clear = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
    if kind in ("not a face", "not a face (model)", "blank"):
        right: NDArray[np.bool_] = clear & (top == VOTES.index("not a face"))
        return right
    if kind == "label":
        chosen = majority(votes)
        columns = np.array([VOTES.index(name) for name in table.classes])
        judged = (chosen != NO_MAJORITY) & (table.labels != UNLABELLED)
        wrong: NDArray[np.bool_] = judged & (chosen != columns[table.labels])
        return wrong
    return None


def precision(
    table: FaceTable, findings: Sequence[Finding], at: Sequence[int] = (50, 200)
) -> list[Precision]:
    """The precision of each kind that votes can confirm, at each number of its surest findings.

    Of all faces and, where there are several splits, of each split that has findings: what learned from one
    split should be judged on another.
    """
    splits = list(table.split_counts)
    measured = []
    for kind in dict.fromkeys(each.kind for each in findings):
        right = confirmed_by_votes(table, kind)
        if right is None:
            continue
        mine = sorted((each for each in findings if each.kind == kind), key=lambda each: -each.score)
        for split in ["", *(splits if len(splits) > 1 else [])]:
            places = [each.index for each in mine if split in ("", each.split)]
            there = int(right[table.splits == split].sum() if split else right.sum())
            # Fewer findings than the smaller number are measured once.
            for asked in [n for i, n in enumerate(at) if i == 0 or len(places) > at[i - 1]]:
                if first := places[:asked]:
                    share = float(right[first].mean())
                    measured.append(Precision(kind, split, asked, len(first), share, there))
    return measured
