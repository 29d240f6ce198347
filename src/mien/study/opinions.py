"""What ten people said of each face, beside the label: agreement, doubt, and the most disputed faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.data.table import UNLABELLED, FaceTable
from mien.emotions import VOTES
from mien.errors import UsageError
from mien.study.drawing import COLOURS, draw_faces, draw_matrix, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# 0 to log2(10) bits in steps of a quarter.
_BINS = np.arange(0, 3.51, 0.25)
_TOP_VOTES = 3


@dataclass(frozen=True)
class LabelsAndVotes:
    """Where the votes of the faces of each label went.

    Attributes:
        labels: names of the rows, those labels that have faces.
        answers: names of the columns, the ten answers.
        shares: (labels, answers), rows sum to 1.
        faces: faces of each row.
    """

    labels: tuple[str, ...]
    answers: tuple[str, ...]
    shares: NDArray[np.float64]
    faces: tuple[int, ...]


def labels_and_votes(table: FaceTable) -> LabelsAndVotes:
    """The share of all votes for the faces of each label that went to each answer.

    Raises:
        UsageError: the table has no votes.
    """
    votes = _votes(table)
    there = [label for label in range(len(table.classes)) if (table.labels == label).any()]
    sums = np.stack([votes[table.labels == label].sum(axis=0, dtype=np.float64) for label in there])
    return LabelsAndVotes(
        labels=tuple(table.classes[label] for label in there),
        answers=VOTES,
        shares=sums / sums.sum(axis=1, keepdims=True),
        faces=tuple(int((table.labels == label).sum()) for label in there),
    )


def entropy_bits(votes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Entropy of each face's votes (N, answers) in bits, (N,): 0 where all agree, nan where nobody voted."""
    totals = votes.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.divide(votes, totals, out=np.full(votes.shape, np.nan), where=totals > 0)
    logs = np.log2(shares, out=np.zeros(shares.shape), where=shares > 0)
    entropy: NDArray[np.float64] = np.abs((shares * logs).sum(axis=1))
    return entropy


def most_disputed(table: FaceTable, most: int = 24) -> NDArray[np.intp]:
    """The places of the faces whose votes have the highest entropy, highest first; of equals the earlier row.

    Raises:
        UsageError: the table has no votes.
    """
    entropy = entropy_bits(_votes(table))
    order = np.argsort(-np.nan_to_num(entropy, nan=-1), kind="stable")
    return order[:most]


def top_answers(votes: NDArray[np.uint8], most: int = _TOP_VOTES) -> str:
    """The answers of one face with most votes, as ``"sad 4, fear 3, neutral 2"``."""
    order = np.argsort(-votes.astype(int), kind="stable")[:most]
    return ", ".join(f"{VOTES[i]} {votes[i]}" for i in order if votes[i])


def draw_labels_and_votes(axes: Axes, matrix: LabelsAndVotes) -> None:
    """The matrix, a row a label."""
    rows = [f"{name} ({n:,})" for name, n in zip(matrix.labels, matrix.faces, strict=True)]
    draw_matrix(
        axes, matrix.shares, rows, matrix.answers, below="what people said (FER+)", left="label (faces)"
    )
    axes.set_title("Where the votes went, by label")


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
        title="How much people disagreed",
        xlabel="entropy of a face's votes in bits (0: all said the same)",
        ylabel="faces",
    )


def draw_disputed(axes: Axes, table: FaceTable, places: NDArray[np.intp]) -> None:
    """The disputed faces, each with its label and the answers with most votes."""
    votes = _votes(table)
    captions = []
    for place in places:
        label = int(table.labels[place])
        name = "no label" if label == UNLABELLED else table.classes[label]
        captions.append(f"label: {name}\n" + top_answers(votes[place]).replace(", ", "\n"))
    draw_faces(axes, table.pixels[places], captions, columns=min(8, len(places)), lines=1 + _TOP_VOTES)
    axes.set_title("The faces on which people disagreed most")


def _votes(table: FaceTable) -> NDArray[np.uint8]:
    if table.votes is None:
        raise UsageError(
            f"{table.source or 'The table'} has no votes. Give FER+'s fer2013new.csv with --votes."
        )
    return table.votes
