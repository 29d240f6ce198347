"""Precision at k of the detectors: how many of their first findings the FER+ votes confirm."""

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
class PrecisionAtK:
    """The share of a detector's first k findings that the voters confirm.

    Attributes:
        kind: of the findings.
        split: of the faces that were measured; empty for all.
        k: the number of findings requested.
        n: the number of findings there were, at most `k`.
        precision: the share of the `n` that is confirmed, 0-1.
        total: the number of faces in the split that the votes would confirm, found or not.
    """

    kind: str
    split: str
    k: int
    n: int
    precision: float
    total: int


def confirmed_by_votes(table: FaceTable, kind: str) -> NDArray[np.bool_] | None:
    """A mask (N,) of the faces for which the votes confirm a finding of this kind; None where they cannot.

    "Not a face" is confirmed where it is the one answer with the most votes. A wrong label is confirmed where
    the FER+ majority (`mien.data.votes.majority`) is another emotion; a face without a majority counts as not
    confirmed. Findings that were made from the votes cannot be measured by them.

    Raises:
        UsageError: the table has no votes.
    """
    if table.votes is None:
        raise UsageError("Precision is measured against FER+ votes. Give fer2013new.csv with --votes.")
    if kind in ("not a face", "not a face (model)", "blank"):
        top = table.votes.max(axis=1, keepdims=True)
        clear = (table.votes == top).sum(axis=1) == 1
        no_face: NDArray[np.bool_] = clear & (table.votes.argmax(axis=1) == VOTES.index("not a face"))
        return no_face
    if kind == "label":
        chosen = majority(table.votes)
        columns = np.array([VOTES.index(name) for name in table.classes])
        comparable = (chosen != NO_MAJORITY) & (table.labels != UNLABELLED)
        wrong: NDArray[np.bool_] = comparable & (chosen != columns[table.labels])
        return wrong
    return None


def measure_precision(
    table: FaceTable, findings: Sequence[Finding], ks: Sequence[int] = (50, 200)
) -> list[PrecisionAtK]:
    """The precision of each kind that votes can confirm, at each k.

    It is measured on all faces and, where there are several splits, on each split that has findings: a
    detector that learned from one split should be measured on another.
    """
    splits = list(table.split_counts)
    measured = []
    for kind in dict.fromkeys(each.kind for each in findings):
        confirmed = confirmed_by_votes(table, kind)
        if confirmed is None:
            continue
        ranked = sorted((each for each in findings if each.kind == kind), key=lambda each: -each.score)
        for split in ["", *(splits if len(splits) > 1 else [])]:
            indices = [each.index for each in ranked if split in ("", each.split)]
            total = int(confirmed[table.splits == split].sum() if split else confirmed.sum())
            # Fewer findings than the smaller k are measured once.
            for k in [k for i, k in enumerate(ks) if i == 0 or len(indices) > ks[i - 1]]:
                if first := indices[:k]:
                    share = float(confirmed[first].mean())
                    measured.append(PrecisionAtK(kind, split, k, len(first), share, total))
    return measured
