"""Labels that may be wrong, and images that may show no face, according to ten voters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.auditing.findings import Finding, make_finding
from mien.data.table import UNLABELLED, FaceTable
from mien.data.votes import NO_MAJORITY, majority, top_votes
from mien.emotions import VOTES


def find_wrong_labels(table: FaceTable) -> Iterator[Finding]:
    """Faces whose FER+ majority is another emotion than the label; none without votes.

    The score is the share of the votes for the majority less that for the label, -1 to 1. The suggestion is
    the majority, empty where the table has no such class (contempt).
    """
    if table.votes is None:
        return
    chosen = majority(table.votes)
    columns = np.array([VOTES.index(name) for name in table.classes])
    for index in np.flatnonzero((chosen != NO_MAJORITY) & (table.labels != UNLABELLED)):
        votes, label = table.votes[index].astype(int), columns[table.labels[index]]
        if chosen[index] != label:
            score = (votes[chosen[index]] - votes[label]) / votes.sum()
            name = VOTES[chosen[index]]
            evidence = f"votes: {top_votes(table.votes[index])}"
            suggested = name if name in table.classes else ""
            yield make_finding(table, index, "label (votes)", score, evidence, suggested)


def find_not_a_face_by_votes(table: FaceTable) -> Iterator[Finding]:
    """Images that at least half of the voters called not a face; none without votes. Score: their share."""
    if table.votes is None:
        return
    share = table.votes[:, VOTES.index("not a face")] / np.maximum(table.votes.sum(axis=1), 1)
    for index in np.flatnonzero(share >= 0.5):
        yield make_finding(
            table, index, "not a face (votes)", share[index], f"votes: {top_votes(table.votes[index])}"
        )
