"""What `mien evaluate` asks of a model: which head, about which faces, against which truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mien.data.table import FaceTable
    from mien.emotions import BinaryTask
    from mien.evaluation.fairness import GroupScores
    from mien.evaluation.predictions import Predictions, VotePredictions
    from mien.models.classifier import Classifier
    from mien.models.tta import TtaCrops

# The intervals must come out the same when the command is repeated.
SEED = 0


class Labels(StrEnum):
    """Where the truth comes from."""

    fer2013 = "fer2013"
    ferplus = "ferplus"


# The head that was trained on each kind of truth.
_HEADS = {Labels.fer2013: "fer2013", Labels.ferplus: "votes"}


@dataclass(frozen=True)
class Asked:
    """What is asked: one head of a model.

    Attributes:
        classifier: as it answers, with its views of each face.
        once: the same, which asks no face twice.
        head: its name.
        heads: names of all the model's heads.
        question: the framing that it was trained on instead of emotions, or None.
        applied_temperature: the temperature that its probabilities hold; 1 where it cannot be taken out.
    """

    classifier: Classifier
    once: Classifier
    head: str
    heads: tuple[str, ...]
    question: BinaryTask | None
    applied_temperature: float


@dataclass(frozen=True)
class Options:
    """Which faces are asked about, and how."""

    table: FaceTable
    split: str
    labels: str
    known_only: bool
    batch_size: int
    progress: Callable[[int], None]


def ask(model: str, head: str | None, labels: Labels, views: TtaCrops | None) -> Asked:
    """One head of a run, an ONNX file or a shipped model: the one of the labels, where none is named."""
    from mien.emotions import binary_task
    from mien.loading import open_classifier, question_of

    question = question_of(model)
    name = head or question or _HEADS[labels]
    opened = open_classifier(model, name)
    seen = _viewed(opened, views)
    return Asked(
        seen,
        seen,
        name,
        tuple(opened.model.heads),
        None if question is None else binary_task(question),
        # The mean over views is no softmax of logits over the temperature, which could be taken out again.
        opened.model.temperatures[name] if views is None else 1.0,
    )


def _viewed(classifier: Classifier, views: TtaCrops | None) -> Classifier:
    """The classifier, asked about several views of each face where there are views."""
    from mien.models.tta import TtaClassifier

    return classifier if views is None else TtaClassifier(classifier, views)


def judge_split(asked: Asked, options: Options) -> Predictions:
    """What it says of the faces of the split: emotions, or the one question that it was trained on."""
    from mien.evaluation.predictions import predict_binary, predict_split

    o = options
    if asked.question is not None:
        return predict_binary(
            asked.once,
            o.table,
            o.split,
            asked.question,
            labels=o.labels,  # type: ignore[arg-type]
            batch_size=o.batch_size,
            progress=o.progress,
        )
    return predict_split(
        asked.once,
        o.table,
        o.split,
        head=asked.head,
        labels=o.labels,  # type: ignore[arg-type]
        known_only=o.known_only,
        batch_size=o.batch_size,
        progress=o.progress,
    )


def find_voter(
    model: str, asked: Asked, labels: Labels, votes: bool, views: TtaCrops | None
) -> Classifier | None:
    """What answers against the votes: the head that was trained on them; None without it or without votes."""
    if not votes or asked.question is not None:
        return None
    if labels is Labels.ferplus or asked.head == "votes":
        return asked.once
    return ask(model, "votes", Labels.ferplus, views).once if "votes" in asked.heads else None


def ask_voter(voter: Classifier, options: Options) -> tuple[Predictions | None, VotePredictions]:
    """Its answers for the faces with a majority, if there are any, and for all with votes."""
    from mien.data.votes import NO_MAJORITY, majority
    from mien.evaluation.predictions import predict_split, predict_votes

    o = options
    answers = predict_votes(voter, o.table, o.split, batch_size=o.batch_size, progress=o.progress)
    if (majority(answers.votes) == NO_MAJORITY).all():
        return None, answers
    voted = predict_split(
        voter,
        o.table,
        o.split,
        head="votes",
        labels="ferplus",
        known_only=o.known_only,
        batch_size=o.batch_size,
    )
    return voted, answers


def group_scores(
    path: Path | None, judged: Predictions, minimum_n: int, resamples: int
) -> Sequence[GroupScores]:
    """The scores of the groups in the file, a grouping a column; none without a file."""
    import numpy as np

    from mien.evaluation.fairness import read_groups, score_groups

    if path is None:
        return ()
    generator = np.random.default_rng(SEED)
    return tuple(
        score_groups(judged, each, generator, minimum_n=minimum_n, resamples=resamples)
        for each in read_groups(path, judged)
    )
