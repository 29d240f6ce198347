"""How far the labels of a table agree with its FER+ votes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.data.table import UNLABELLED, FaceTable
from mien.emotions import VOTES


@dataclass(frozen=True)
class Agreement:
    """Of `faces` with label and votes, on how many the label has more votes than any other answer.

    Attributes:
        faces: with a label.
        agreeing: whose label is the one answer with most votes, of the ten that can be given.
        tied: where two answers share most votes; they count as not agreeing.
        by_class: faces and agreeing faces of each label.
    """

    faces: int
    agreeing: int
    tied: int
    by_class: dict[str, tuple[int, int]]

    @property
    def share(self) -> float:
        """Agreeing faces of all, 0-1; 0 where there are none."""
        return self.agreeing / self.faces if self.faces else 0.0


def agreement(table: FaceTable) -> Agreement | None:
    """The agreement, None without votes."""
    if table.votes is None:
        return None
    labelled = table.labels != UNLABELLED
    votes, labels = table.votes[labelled], table.labels[labelled]
    most = votes.max(axis=1, initial=0)
    tied = (votes == most[:, None]).sum(axis=1) > 1
    column = np.array([VOTES.index(name) for name in table.classes])[labels]
    agreeing = (votes.argmax(axis=1) == column) & ~tied
    by_class = {
        name: (int((labels == label).sum()), int(agreeing[labels == label].sum()))
        for label, name in enumerate(table.classes)
    }
    return Agreement(len(labels), int(agreeing.sum()), int(tied.sum()), by_class)
