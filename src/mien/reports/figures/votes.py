"""Ten votes per face beside the label: agreement, entropy, and the most disputed faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.data.table import UNLABELLED, FaceTable
from mien.data.votes import TOP_VOTES, top_votes
from mien.emotions import FERPLUS, VOTES
from mien.errors import UsageError
from mien.plotting import COLOURS, draw_faces, draw_matrix, draw_stacked, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# 0 to log2(10) bits in steps of a quarter.
_BINS = np.arange(0, 3.51, 0.25)
_OUTCOME_COLOURS = (COLOURS[0], "#d0d4d8", COLOURS[1], COLOURS[4])


@dataclass(frozen=True)
class VotesByLabel:
    """The distribution of the votes for the faces of each label.

    Attributes:
        labels: names of the rows, the labels that have faces.
        choices: names of the columns, the ten choices of a voter.
        shares: (labels, choices), rows sum to 1.
        faces: faces of each row.
    """

    labels: tuple[str, ...]
    choices: tuple[str, ...]
    shares: NDArray[np.float64]
    faces: tuple[int, ...]


def votes_by_label(table: FaceTable) -> VotesByLabel:
    """The share of all votes for the faces of each label that went to each choice.

    Raises:
        UsageError: the table has no votes.
    """
    votes = _votes(table)
    there = [label for label in range(len(table.classes)) if (table.labels == label).any()]
    sums = np.stack([votes[table.labels == label].sum(axis=0, dtype=np.float64) for label in there])
    return VotesByLabel(
        labels=tuple(table.classes[label] for label in there),
        choices=VOTES,
        shares=sums / sums.sum(axis=1, keepdims=True),
        faces=tuple(int((table.labels == label).sum()) for label in there),
    )


@dataclass(frozen=True)
class LabelAgreement:
    """For each label, how many faces had each of the `OUTCOMES`: `faces` is (labels, 4)."""

    labels: tuple[str, ...]
    faces: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """The same as shares of the row, 0-1."""
        shares: NDArray[np.float64] = self.faces / self.faces.sum(axis=1, keepdims=True)
        return shares


# The choice with the most votes; if two share the most votes, it is a tie.
OUTCOMES = ("the label", "a tie", "another emotion", "unknown or no face")


def label_agreement(table: FaceTable) -> LabelAgreement:
    """For each label that has faces, on how many of them most people chose the label, or something else.

    Raises:
        UsageError: the table has no votes.
    """
    votes = _votes(table)
    tie = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1
    top = votes.argmax(axis=1)
    there = [label for label in range(len(table.classes)) if (table.labels == label).any()]
    counted = []
    for label in there:
        mine = table.labels == label
        same = mine & ~tie & (top == VOTES.index(table.classes[label]))
        none = mine & ~tie & (top >= len(FERPLUS))
        tied = mine & tie
        counted.append([int(each.sum()) for each in (same, tied, mine & ~same & ~none & ~tied, none)])
    return LabelAgreement(tuple(table.classes[label] for label in there), np.array(counted, np.int64))


def entropy_bits(votes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Entropy of each face's votes (N, choices) in bits, (N,): 0 where all agree, nan where nobody voted."""
    totals = votes.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.divide(votes, totals, out=np.full(votes.shape, np.nan), where=totals > 0)
    logs = np.log2(shares, out=np.zeros(shares.shape), where=shares > 0)
    entropy: NDArray[np.float64] = np.abs((shares * logs).sum(axis=1))
    return entropy


def most_disputed(table: FaceTable, most: int = 24) -> NDArray[np.intp]:
    """The indices of the faces with the highest entropy of votes, highest first; of equals the earlier row.

    Raises:
        UsageError: the table has no votes.
    """
    entropy = entropy_bits(_votes(table))
    order = np.argsort(-np.nan_to_num(entropy, nan=-1), kind="stable")
    return order[:most]


def draw_votes_by_label(axes: Axes, matrix: VotesByLabel) -> None:
    """The matrix, one row per label."""
    rows = [f"{name} ({n:,})" for name, n in zip(matrix.labels, matrix.faces, strict=True)]
    draw_matrix(
        axes, matrix.shares, rows, matrix.choices, below="choice of the voters (FER+)", left="label (faces)"
    )
    axes.set_title("Votes per label")


def draw_label_agreement(axes: Axes, found: LabelAgreement) -> None:
    """One bar per label, divided by the choice of most people for its faces."""
    faces = found.faces.sum(axis=1)
    rows = [f"{name} ({n:,})" for name, n in zip(found.labels, faces, strict=True)]
    inks = ("white", "black", "white", "black")
    parts = [(OUTCOMES[i], found.shares[:, i], _OUTCOME_COLOURS[i], inks[i]) for i in range(len(OUTCOMES))]
    draw_stacked(axes, parts, rows, least=0.035)
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.45, -0.11))
    axes.set(title="Choice of most people for the faces of each label", ylabel="label (faces)")


def draw_entropy(axes: Axes, table: FaceTable) -> None:
    """How many faces have votes of which entropy, with the median of each emotion in the legend.

    Raises:
        UsageError: the table has no votes.
    """
    entropy = entropy_bits(_votes(table))
    axes.hist(entropy[~np.isnan(entropy)], bins=_BINS.tolist(), color=COLOURS[0], rwidth=0.92)
    for label, name in enumerate(table.classes):
        mine = entropy[(table.labels == label) & ~np.isnan(entropy)]
        if len(mine):
            axes.plot([], [], " ", label=f"{name}: {np.median(mine):.2f}")
    if (table.labels != UNLABELLED).any():
        axes.legend(frameon=False, title="median by label", loc="upper right", handlelength=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(-0.05, np.nanmax(entropy, initial=1) + 0.3)
    quiet(axes)
    axes.set(
        title="Disagreement of the voters",
        xlabel="entropy of a face's votes in bits (0: all agree)",
        ylabel="faces",
    )


def draw_disputed(axes: Axes, table: FaceTable, indices: NDArray[np.intp]) -> None:
    """The disputed faces, each with its label and the choices with the most votes."""
    votes = _votes(table)
    captions = []
    for index in indices:
        label = int(table.labels[index])
        name = "no label" if label == UNLABELLED else table.classes[label]
        captions.append(f"label: {name}\n" + top_votes(votes[index]).replace(", ", "\n"))
    draw_faces(axes, table.pixels[indices], captions, columns=min(8, len(indices)), lines=1 + TOP_VOTES)
    axes.set_title("The faces with the most disagreement")


def _votes(table: FaceTable) -> NDArray[np.uint8]:
    if table.votes is None:
        raise UsageError(
            f"{table.source or 'The table'} has no votes. Give FER+'s fer2013new.csv with --votes."
        )
    return table.votes
