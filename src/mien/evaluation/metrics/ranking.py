"""How high the true class stands among a face's classes: top-k, and how often the second class is right.

A face can show two emotions at once, and one label per image hides that. The two most probable classes, in
their order, hold more than the first alone; ten people's votes show how much more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.evaluation.metrics.classification import Floats, Integers, check


@dataclass(frozen=True)
class PairScore:
    """The faces with the same two most probable classes.

    Attributes:
        first, second: the two classes.
        faces: how many faces.
        first_right, second_right: share of them whose true class is the first, the second.
    """

    first: str
    second: str
    faces: int
    first_right: float
    second_right: float


@dataclass(frozen=True)
class Ranking:
    """Where the true class stands when the classes are ordered from the most probable.

    Attributes:
        top_k_accuracy: share of faces whose true class is among the k most probable, for k = 1, 2, ... C.
        mean_rank: of the true class; 1 is first.
        mean_reciprocal_rank: mean of 1 / rank, 1 if every prediction is correct.
        second_when_wrong: of the wrong predictions, the share whose second class is the true one.
        per_class_top2: name to the share of the class's faces that have it among the two most probable.
        pairs: first and second classes that occur together, the most frequent first.
        n: faces.
    """

    top_k_accuracy: tuple[float, ...]
    mean_rank: float
    mean_reciprocal_rank: float
    second_when_wrong: float
    per_class_top2: dict[str, float]
    pairs: tuple[PairScore, ...]
    n: int


@dataclass(frozen=True)
class VoteRanking:
    """How well the order of the classes fits the order that ten people's votes give them.

    Attributes:
        ndcg: normalized discounted cumulative gain, the voters' shares being the gains; 1 is their order.
        first_in_voters_two: share of faces whose most probable class is one of the voters' two.
        same_two: share of faces whose two most probable classes are the voters' two, in either order.
        same_order: the same, and in the voters' order.
        n: faces with a vote for an emotion.
        n_two: those on which the voters' first two are clear: both have votes, and no third has as many as
            the second. The shares above are of these, `same_order` of those without a tie for the first.
    """

    ndcg: float
    first_in_voters_two: float
    same_two: float
    same_order: float
    n: int
    n_two: int


def ranks(probabilities: Floats, truth: Integers) -> NDArray[np.int64]:
    """The rank of each face's true class among its probabilities, (N,), 1 the most probable.

    Of equal probabilities the first column comes first.
    """
    check(probabilities, truth)
    own = probabilities[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    before = (probabilities > own) | ((probabilities == own) & earlier)
    rank_of_truth: NDArray[np.int64] = 1 + before.sum(axis=1).astype(np.int64)
    return rank_of_truth


def top_two(probabilities: Floats) -> NDArray[np.int64]:
    """The two most probable classes of each face in their order, (N, 2); of equals the first column first."""
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :2].astype(np.int64)


def rank(probabilities: Floats, truth: Integers, classes: tuple[str, ...], *, pairs: int = 12) -> Ranking:
    """The ranking of probabilities (N, C) against true classes (N,); at most `pairs` pairs are listed.

    Raises:
        UsageError: no faces, arrays that do not fit, or fewer than two classes.
    """
    rank_of_truth = ranks(probabilities, truth)
    if len(classes) < 2:
        raise UsageError(f"a second class needs two classes, and there is one: {', '.join(classes)}.")
    wrong = rank_of_truth > 1
    per_class = {
        name: float((rank_of_truth[truth == i] <= 2).mean())
        for i, name in enumerate(classes)
        if (truth == i).any()
    }
    return Ranking(
        top_k_accuracy=tuple(float((rank_of_truth <= k).mean()) for k in range(1, len(classes) + 1)),
        mean_rank=float(rank_of_truth.mean()),
        mean_reciprocal_rank=float((1 / rank_of_truth).mean()),
        second_when_wrong=float((rank_of_truth[wrong] == 2).mean()) if wrong.any() else 0.0,
        per_class_top2=per_class,
        pairs=_pairs(top_two(probabilities), truth, classes)[:pairs],
        n=len(truth),
    )


def rank_votes(probabilities: Floats, voters: NDArray[np.float64]) -> VoteRanking:
    """How the order of probabilities (N, C) fits that of the voters' shares (N, C).

    Faces without a vote (rows of zeros) are left out.

    Raises:
        UsageError: shapes that differ, or no face has a vote.
    """
    if probabilities.shape != voters.shape:
        raise UsageError(f"voters must be {probabilities.shape}, not {voters.shape}.")
    voted = voters.sum(axis=1) > 0
    if not voted.any():
        raise UsageError("no face has a vote for an emotion.")
    given, shares = probabilities[voted], voters[voted]
    ordered = -np.sort(-shares, axis=1)
    clear = (ordered[:, 1] > 0) & (ordered[:, 2] < ordered[:, 1] if shares.shape[1] > 2 else True)
    strict = clear & (ordered[:, 0] > ordered[:, 1])
    model, people = top_two(given), top_two(shares)
    same = (np.sort(model, axis=1) == np.sort(people, axis=1)).all(axis=1)
    return VoteRanking(
        ndcg=_ndcg(given, shares),
        first_in_voters_two=_mean((model[:, :1] == people).any(axis=1)[clear]),
        same_two=_mean(same[clear]),
        same_order=_mean((model == people).all(axis=1)[strict]),
        n=int(voted.sum()),
        n_two=int(clear.sum()),
    )


def _pairs(two: NDArray[np.int64], truth: Integers, classes: tuple[str, ...]) -> tuple[PairScore, ...]:
    found, which, counts = np.unique(two, axis=0, return_inverse=True, return_counts=True)
    scores = []
    for i in np.argsort(-counts, kind="stable"):
        true = truth[which.ravel() == i]
        first, second = (int(each) for each in found[i])
        scores.append(
            PairScore(
                first=classes[first],
                second=classes[second],
                faces=int(counts[i]),
                first_right=float((true == first).mean()),
                second_right=float((true == second).mean()),
            )
        )
    return tuple(scores)


def _ndcg(probabilities: Floats, gains: NDArray[np.float64]) -> float:
    """Mean over faces of the discounted gain in the model's order over that in the best order.

    Source: Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques".
    """
    discount = 1 / np.log2(np.arange(2, gains.shape[1] + 2))
    order = np.argsort(-probabilities, axis=1, kind="stable")
    got = (np.take_along_axis(gains, order, axis=1) * discount).sum(axis=1)
    best = (-np.sort(-gains, axis=1) * discount).sum(axis=1)
    return float((got / best).mean())


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else 0.0
