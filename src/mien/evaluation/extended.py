"""What is measured beyond a model's scores: ranking, several labels, binary tasks, groups, corruptions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.data.votes import vote_shares
from mien.emotions import BinaryTask
from mien.evaluation.binary import BinaryScores, score_binary
from mien.evaluation.fairness import UNMEASURED, GroupScores
from mien.evaluation.metrics.multilabel import THRESHOLD, MultiLabelScores, labels_of_votes, score_labels
from mien.evaluation.metrics.ranking import Ranking, VoteRanking, rank, rank_votes
from mien.evaluation.predictions import Predictions, VotePredictions
from mien.evaluation.robustness import Robustness


@dataclass(frozen=True, eq=False)
class ExtendedScores:
    """What else is known of a classifier on one split; each documented in docs/evaluation.md.

    Attributes:
        ranking: rank of the true class among its classes.
        vote_ranking: how its order fits the voters'; None without votes.
        multilabel: several emotions per face; None without votes.
        binary: the binary tasks.
        groups: one for each column that names groups. None at all means that fairness is unmeasured.
        robustness: accuracy on corrupted images, where it was measured.
    """

    ranking: Ranking
    vote_ranking: VoteRanking | None = None
    multilabel: MultiLabelScores | None = None
    binary: tuple[BinaryScores, ...] = ()
    groups: tuple[GroupScores, ...] = ()
    robustness: Robustness | None = None

    def to_dict(self) -> dict[str, Any]:
        """The keys that these add to the JSON of an evaluation."""
        return {
            "ranking": dataclasses.asdict(self.ranking),
            "vote_ranking": None if self.vote_ranking is None else dataclasses.asdict(self.vote_ranking),
            "multilabel": None if self.multilabel is None else _labels(self.multilabel),
            "binary": {each.name: each.to_dict() for each in self.binary},
            "groups": {each.column: dataclasses.asdict(each) for each in self.groups} or None,
            "fairness": "measured by group" if self.groups else UNMEASURED,
            "robustness": None if self.robustness is None else dataclasses.asdict(self.robustness),
        }


def score_extended(
    predictions: Predictions,
    generator: np.random.Generator,
    *,
    voted: VotePredictions | None = None,
    binary: Sequence[BinaryTask] = (),
    groups: Sequence[GroupScores] = (),
    robustness: Robustness | None = None,
    vote_threshold: float = THRESHOLD,
    resamples: int = 2000,
) -> ExtendedScores:
    """Ranking, several labels and framings of a classifier's predictions, with what else was measured.

    `voted` are its predictions for the faces with votes, on which their order and several labels are scored.

    Raises:
        UsageError: a binary task that these classes or faces do not allow, or a threshold out of range.
    """
    orders = labels = None
    if voted is not None:
        orders = rank_votes(voted.probabilities, vote_shares(voted.votes))
        if labels_of_votes(voted.votes, vote_threshold)[1].any():
            labels = score_labels(
                voted.probabilities, voted.votes, vote_threshold=vote_threshold, threshold=vote_threshold
            )
    return ExtendedScores(
        ranking=rank(predictions.probabilities, predictions.truth, predictions.classes),
        vote_ranking=orders,
        multilabel=labels,
        binary=tuple(score_binary(predictions, each, generator, resamples=resamples) for each in binary),
        groups=tuple(groups),
        robustness=robustness,
    )


def _labels(scores: MultiLabelScores) -> dict[str, Any]:
    plain = dataclasses.asdict(scores)
    return {**plain, "sweep": {f"{level:.2f}": share for level, share in scores.sweep.items()}}
