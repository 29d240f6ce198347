"""How often a detector is right, measured on the faces that it is surest of, against the FER+ votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.emotions import VOTES
from mien.errors import UsageError
from mien.study.findings import Finding


@dataclass(frozen=True)
class Precision:
    """Of a detector's `n` surest findings, the share that the voters confirm; `n` is less if it has fewer."""

    kind: str
    n: int
    share: float


def confirmed(table: FaceTable, kind: str) -> NDArray[np.bool_] | None:
    """A mask (N,) of the faces for which the votes confirm a finding of this kind; None where they cannot.

    They confirm that a picture shows no face where "not a face" is the answer with most votes, alone. What
    was found by the votes themselves cannot be measured by them.

    Raises:
        UsageError: the table has no votes.
    """
    if table.votes is None:
        raise UsageError("Precision is measured against FER+ votes. Give fer2013new.csv with --votes.")
    votes = table.votes
    top = votes.argmax(axis=1)
    clear = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
    if kind in ("not a face", "blank"):
        right: NDArray[np.bool_] = clear & (top == VOTES.index("not a face"))
        return right
    return None


def precision(
    table: FaceTable, findings: Sequence[Finding], at: Sequence[int] = (50, 200)
) -> list[Precision]:
    """The precision of each kind that votes can confirm, at each number of its surest findings."""
    measured = []
    for kind in dict.fromkeys(each.kind for each in findings):
        right = confirmed(table, kind)
        if right is None:
            continue
        mine = sorted((each for each in findings if each.kind == kind), key=lambda each: -each.score)
        for n in dict.fromkeys(min(n, len(mine)) for n in at):
            share = float(right[[each.place for each in mine[:n]]].mean())
            measured.append(Precision(kind, n, share))
    return measured
