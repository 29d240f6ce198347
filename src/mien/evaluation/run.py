"""A model scored on one split of labelled faces by all that the data allows, from one pass over each face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.data.table import FaceTable
from mien.data.votes import NO_MAJORITY, majority
from mien.emotions import FERPLUS, BinaryTask, binary_task
from mien.evaluation.extended import score_extended
from mien.evaluation.fairness import MINIMUM_N, GroupScores, read_groups, score_groups
from mien.evaluation.metrics.multilabel import THRESHOLD
from mien.evaluation.predictions import (
    Predictions,
    Targets,
    VotePredictions,
    align,
    binary_targets,
    default_split,
    targets_of,
)
from mien.evaluation.result import DataSource, Evaluation, score_predictions
from mien.evaluation.robustness import Robustness, measure_robustness
from mien.models.card import HEAD_OF_LABELS, LABELS_OF_HEAD, OWN_HEAD, Labels
from mien.models.classifier import HeadClassifier, Model, classify_heads
from mien.models.tta import TtaCrops, TtaModel
from mien.progress import Progress, counter

# The intervals must come out the same when an evaluation is repeated.
SEED = 0


@dataclass(frozen=True)
class EvaluationOptions:
    """What of a model is scored, and on which faces; `mien.evaluate` describes each option."""

    split: str | None = None
    labels: Labels = "fer2013"
    head: str | None = None
    known_only: bool = False
    tta: bool = False
    binary: Sequence[str] = ()
    vote_threshold: float = THRESHOLD
    groups: Path | None = None
    minimum_n: int = MINIMUM_N
    robustness: bool = False
    robustness_faces: int | None = None
    resamples: int = 2000
    batch_size: int = 256


def evaluate_model(
    model: Model,
    table: FaceTable,
    options: EvaluationOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Evaluation:
    """The scores of a model on the faces of a table.

    A model with a head of votes is scored against the votes too, where the table has them. `progress` is
    called with what is at work, and with how many faces are done and are to do.

    Raises:
        CardError: the model has no such head.
        DataError: the table has no such split.
        UsageError: no face can be scored, faces are of a class that the model does not know, a binary task is
            unknown or cannot be scored on these faces, or the file of groups does not fit.
        ModelError: the model gave no probabilities.
    """
    o = options or EvaluationOptions()
    tasks = [binary_task(name) for name in dict.fromkeys(o.binary)]
    crops = TtaCrops() if o.tta else None
    viewed: Model = model if crops is None else TtaModel(model, crops)
    head = HeadClassifier(viewed, _head(model, o))
    judged, voted, voters = _predict(head, table, o, progress)
    evaluation = score_predictions(
        judged,
        np.random.default_rng(SEED),
        data=DataSource(table.source, table.sha256),
        voted=None if o.labels == "ferplus" else voted,
        tta=crops,
        resamples=o.resamples,
    )
    extended = score_extended(
        judged,
        np.random.default_rng(SEED),
        voted=voters,
        binary=tasks,
        groups=_groups(judged, o),
        robustness=_robustness(head, judged, o, progress),
        vote_threshold=o.vote_threshold,
        resamples=o.resamples,
    )
    # The mean over crops is no softmax of logits over the temperature, which could be taken out again.
    temperature = model.temperatures[head.head_name] if crops is None else 1.0
    return replace(evaluation, extended=extended, applied_temperature=temperature, problems=table.problems)


def predict_labels(
    model: Model,
    table: FaceTable,
    split: str,
    labels: Labels = "fer2013",
    *,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Predictions:
    """The model's predictions for the faces of a split, by its head of these labels or of its binary task.

    Raises:
        CardError, DataError, UsageError, ModelError: as `evaluate_model` does.
    """
    options = EvaluationOptions(split=split, labels=labels, batch_size=batch_size)
    head = HeadClassifier(model, _head(model, options))
    return _predict(head, table, options, progress, votes=False)[0]


def own_task(model: Model) -> BinaryTask | None:
    """The binary task that a run was trained on instead of emotions; None for every other model."""
    return next((binary_task(name) for name in model.heads if name not in LABELS_OF_HEAD), None)


def _head(model: Model, options: EvaluationOptions) -> str:
    task = own_task(model)
    if task is None and OWN_HEAD in model.heads and options.labels == "fer2013":
        return options.head or OWN_HEAD
    return options.head or (task.name if task else HEAD_OF_LABELS[options.labels])


def _predict(
    head: HeadClassifier,
    table: FaceTable,
    o: EvaluationOptions,
    progress: Progress | None,
    *,
    votes: bool = True,
) -> tuple[Predictions, Predictions | None, VotePredictions | None]:
    """Predictions against the labels; against the majority of the votes, and for all faces with votes.

    All are of one pass. The last two are None without votes, or without a head to compare with them.
    """
    model, name = head.model, head.head_name
    split = o.split or default_split(table)
    targets = _targets(head, table, split, o)
    voter = _voter(head, o) if votes and table.votes is not None else None
    faces = table.split(split)
    has_votes = np.zeros(len(faces), bool)
    if voter is not None and faces.votes is not None:
        has_votes |= faces.votes.any(axis=1)
    wanted = has_votes.copy()
    wanted[targets.indices] = True
    advance = counter(progress, f"{model.name} on {split}", int(wanted.sum()))
    given = classify_heads(model, faces.pixels[wanted], batch_size=o.batch_size, progress=advance)
    row = np.cumsum(wanted) - 1  # of each face of the split among those that were predicted
    judged = targets.predictions(given[name][row[targets.indices]], head.labels, model=model.name, head=name)
    if voter is None or faces.votes is None or not has_votes.any():
        return judged, None, None
    columns = model.heads[voter]
    voters = VotePredictions(align(given[voter][row[has_votes]], columns, FERPLUS), faces.votes[has_votes])
    if (majority(voters.votes) == NO_MAJORITY).all():
        return judged, None, voters
    clear = targets_of(table, split, columns, model=model.name, labels="ferplus", known_only=o.known_only)
    voted = clear.predictions(given[voter][row[clear.indices]], columns, model=model.name, head="votes")
    return judged, voted, voters


def _targets(head: HeadClassifier, table: FaceTable, split: str, o: EvaluationOptions) -> Targets:
    if (task := own_task(head.model)) is not None:
        return binary_targets(table, split, head.labels, task, model=head.name, labels=o.labels)
    return targets_of(table, split, head.labels, model=head.name, labels=o.labels, known_only=o.known_only)


def _voter(head: HeadClassifier, o: EvaluationOptions) -> str | None:
    """The head that is compared with the votes; None where the model has none."""
    if own_task(head.model) is not None:
        return None
    return head.head_name if o.labels == "ferplus" else "votes" if "votes" in head.model.heads else None


def _groups(judged: Predictions, o: EvaluationOptions) -> tuple[GroupScores, ...]:
    if o.groups is None:
        return ()
    generator = np.random.default_rng(SEED)
    return tuple(
        score_groups(judged, each, generator, minimum_n=o.minimum_n, resamples=o.resamples)
        for each in read_groups(o.groups, judged)
    )


def _robustness(
    head: HeadClassifier, judged: Predictions, o: EvaluationOptions, progress: Progress | None
) -> Robustness | None:
    if not o.robustness and o.robustness_faces is None:
        return None
    total = 45 * min(len(judged.truth), o.robustness_faces or len(judged.truth))
    return measure_robustness(
        head,
        judged,
        seed=SEED,
        faces=o.robustness_faces,
        batch_size=o.batch_size,
        progress=counter(progress, f"{head.name} under corruptions", total),
    )
