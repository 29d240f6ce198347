"""Several emotions per face: what enough of ten people saw, against what the model gives enough probability.

FER+'s voters often split between two emotions. As a multi-label problem both are right, and a model should
name both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.emotions import FERPLUS
from mien.errors import UsageError
from mien.evaluation.metrics.classification import Floats, precision_recall

# Source: the multi-target mode of ferplus.py in github.com/microsoft/FERPlus.
THRESHOLD = 0.3

_EMOTIONS = len(FERPLUS)
_SWEEP = np.round(np.arange(0.05, 0.96, 0.05), 2)


@dataclass(frozen=True)
class EmotionScore:
    """One emotion, there or not, over all faces. `average_precision` is None where no face shows it."""

    average_precision: float | None
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class MultiLabelScores:
    """How well the emotions that a model names are those that enough people saw.

    Attributes:
        vote_threshold: share of a face's votes from which an emotion is one of its labels.
        threshold: probability from which the model names an emotion; the most probable it always names.
        exact_match: share of faces on which both sets are the same.
        top1_in_set: share of faces whose most probable emotion is one of the labels.
        hamming_loss: share of wrong decisions over all faces and emotions.
        micro_f1: F1 over all decisions together.
        macro_f1: mean F1 of the emotions that some face shows.
        mean_average_precision: mean of `average_precision` over the same; no threshold is in it.
        label_ranking_average_precision: for each label, the share of labels among what stands at or above it
            in the model's order; averaged over a face's labels, then over faces.
        mean_labels, mean_named: labels per face, and emotions that the model names.
        per_emotion: name to its scores.
        sweep: threshold to the exact match that it would give.
        n: faces.
        left_out: faces without clear labels.
    """

    vote_threshold: float
    threshold: float
    exact_match: float
    top1_in_set: float
    hamming_loss: float
    micro_f1: float
    macro_f1: float
    mean_average_precision: float
    label_ranking_average_precision: float
    mean_labels: float
    mean_named: float
    per_emotion: dict[str, EmotionScore]
    sweep: dict[float, float]
    n: int
    left_out: int


def labels_of_votes(
    votes: NDArray[np.uint8], threshold: float = THRESHOLD
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The emotions that enough people saw in each face, (N, 8), and which faces have clear labels, (N,).

    `votes` is (N, 10) in the order of `mien.emotions.VOTES`. Votes by a single person are removed. An
    emotion with `threshold` of the rest is a label. A face is not clear, and has none, where its labels hold
    half of the rest or less together, or "unknown" or "not a face" has most votes.

    Source: the multi-target mode of ferplus.py in github.com/microsoft/FERPlus.

    Raises:
        UsageError: a threshold outside 0..1.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"the threshold of votes must lie between 0 and 1, such as 0.3, not {threshold}.")
    counted = np.where(votes > 1, votes, 0).astype(np.float64)
    total = counted.sum(axis=1, keepdims=True)
    # A little below, since 0.3 * 10 is 3.0000000000000004 or 2.9999999999999996 by rounding.
    kept = (counted >= threshold * total - 1e-9) & (counted > 0)
    kept_votes = np.where(kept, counted, 0)
    clear = (kept_votes.sum(axis=1) > 0.5 * total[:, 0]) & (kept_votes.argmax(axis=1) < _EMOTIONS)
    return kept[:, :_EMOTIONS] & clear[:, None], clear


def named(probabilities: Floats, threshold: float) -> NDArray[np.bool_]:
    """The classes that a model names, (N, C): those with that probability, and always the most probable."""
    members = probabilities >= threshold
    members[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return members


def score_labels(
    probabilities: Floats,
    votes: NDArray[np.uint8],
    *,
    vote_threshold: float = THRESHOLD,
    threshold: float = THRESHOLD,
) -> MultiLabelScores:
    """Scores of probabilities (N, 8), columns as in `FERPLUS`, against votes (N, 10).

    Raises:
        UsageError: other shapes, a threshold outside 0..1, or no face has clear labels.
    """
    if probabilities.shape != (len(votes), _EMOTIONS):
        raise UsageError(f"probabilities must be {(len(votes), _EMOTIONS)}, not {probabilities.shape}.")
    if not 0 < threshold <= 1:
        raise UsageError(f"the threshold must lie between 0 and 1, such as 0.3, not {threshold}.")
    labels, clear = labels_of_votes(votes, vote_threshold)
    if not clear.any():
        raise UsageError(f"none of the {len(votes)} faces has clear labels among its votes.")
    truth, given = labels[clear], probabilities[clear]
    given_labels = named(given, threshold)
    hits = (truth & given_labels).sum(axis=0)
    per_emotion = {
        name: _emotion(given[:, i], truth[:, i], given_labels[:, i]) for i, name in enumerate(FERPLUS)
    }
    shown = [each for each in per_emotion.values() if each.support]
    top = given.argmax(axis=1)
    return MultiLabelScores(
        vote_threshold=vote_threshold,
        threshold=threshold,
        exact_match=_exact(truth, given_labels),
        top1_in_set=float(truth[np.arange(len(truth)), top].mean()),
        hamming_loss=float((truth != given_labels).mean()),
        micro_f1=float(2 * hits.sum() / (truth.sum() + given_labels.sum())),
        macro_f1=float(np.mean([each.f1 for each in shown])),
        mean_average_precision=float(
            np.mean([each.average_precision for each in shown if each.average_precision is not None])
        ),
        label_ranking_average_precision=_label_ranking(truth, given),
        mean_labels=float(truth.sum(axis=1).mean()),
        mean_named=float(given_labels.sum(axis=1).mean()),
        per_emotion=per_emotion,
        sweep={float(level): _exact(truth, named(given, float(level))) for level in _SWEEP},
        n=len(truth),
        left_out=int((~clear).sum()),
    )


def _emotion(scores: Floats, truth: NDArray[np.bool_], given_labels: NDArray[np.bool_]) -> EmotionScore:
    hits, support, named_faces = int((truth & given_labels).sum()), int(truth.sum()), int(given_labels.sum())
    return EmotionScore(
        average_precision=precision_recall(scores, truth).average_precision if support else None,
        precision=hits / named_faces if named_faces else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (support + named_faces) if support + named_faces else 0.0,
        support=support,
    )


def _exact(truth: NDArray[np.bool_], given_labels: NDArray[np.bool_]) -> float:
    return float((truth == given_labels).all(axis=1).mean())


def _label_ranking(truth: NDArray[np.bool_], scores: Floats) -> float:
    """Source: Tsoumakas et al. 2010, "Mining multi-label data", section 7.2."""
    at_or_above = scores[:, None, :] >= scores[:, :, None]  # (N, label, other)
    others = at_or_above.sum(axis=2)
    labels = (at_or_above & truth[:, None, :]).sum(axis=2)
    return float(((labels / others * truth).sum(axis=1) / truth.sum(axis=1)).mean())
