"""What a classifier says of every face that people voted on, whether or not they agreed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.emotions import FERPLUS
from mien.errors import UsageError
from mien.evaluation.predictions import Predictions, align
from mien.models.classifier import Classifier, classify


@dataclass(frozen=True, eq=False)
class VotedAnswers:
    """N faces with votes, and the probabilities that a classifier gave the eight emotions.

    Faces without a majority are among them, unlike in predictions against it: they are those with several
    labels.

    Attributes:
        probabilities: float32 (N, 8), columns as in `FERPLUS`, rows sum to 1.
        votes: uint8 (N, 10), columns as in `mien.emotions.VOTES`.
    """

    probabilities: NDArray[np.float32]
    votes: NDArray[np.uint8]


def voted_answers(predictions: Predictions) -> VotedAnswers:
    """The answers in predictions for faces with votes, of which there may be fewer than the split has.

    Predictions against the majority leave out the faces on which people disagreed; `predict_votes` does not.

    Raises:
        UsageError: the faces have no votes.
    """
    if predictions.faces.votes is None:
        raise UsageError(
            f"{predictions.faces.source or 'the data'} has no FER+ votes. Give them with --votes."
        )
    emotions = align(predictions.probabilities, predictions.classes, FERPLUS)
    return VotedAnswers(emotions, predictions.faces.votes)


def predict_votes(
    classifier: Classifier,
    table: FaceTable,
    split: str,
    *,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> VotedAnswers:
    """What the classifier says of the faces of a split that have votes.

    Raises:
        DataError: the table has no such split.
        UsageError: no face of it has votes.
        ModelError: the classifier's answer is no probabilities.
    """
    faces = table.split(split)
    if faces.votes is None or not faces.votes.any():
        raise UsageError(
            f"{table.source or 'the data'} has no FER+ votes for {split}. Give them with --votes."
        )
    voted = faces.votes.any(axis=1)
    answers = classify(classifier, faces.pixels[voted], batch_size=batch_size, progress=progress)
    return VotedAnswers(align(answers, classifier.labels, FERPLUS), faces.votes[voted])
