"""Predictions for the faces of one split beside what is true of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.data.folders.subjects import known_subjects
from mien.data.table import UNLABELLED, FaceTable, not_in
from mien.data.votes import NO_MAJORITY, majority
from mien.emotions import FERPLUS, NEITHER, BinaryTask, class_name
from mien.errors import UsageError
from mien.evaluation.metrics.classification import Floats
from mien.models.card import Labels
from mien.models.classifier import Classifier, classify

TRAINING, PUBLIC_TEST = "Training", "PublicTest"


@dataclass(frozen=True, eq=False)
class Predictions:
    """N labelled faces of one split and the probabilities a classifier gave them.

    Attributes:
        classes: names of the columns, in order.
        probabilities: float32 (N, C), rows sum to 1.
        truth: int64 (N,), index into `classes`.
        model: name of the classifier.
        head: which of its heads this is.
        faces: the N faces.
        split: name of their split.
        labels: where the truth comes from.
        not_in_training: (N,) whether no face in Training is pixel-identical; None where the data has no
            Training faces to compare with, or they are what is scored.
        left_out: reason to number of faces of the split that are not among the N.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    truth: NDArray[np.int64]
    model: str
    head: str
    faces: FaceTable
    split: str
    labels: Labels
    not_in_training: NDArray[np.bool_] | None
    left_out: Mapping[str, int]

    @property
    def subjects(self) -> NDArray[np.str_] | None:
        """The person on each face, (N,); None where neither the data nor the names of its files say it."""
        return known_subjects(self.faces)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Predictions:
        """The predictions for some of the faces, by index or mask."""
        seen = self.not_in_training
        return replace(
            self,
            probabilities=self.probabilities[index],
            truth=self.truth[index],
            faces=self.faces.take(index),
            not_in_training=None if seen is None else seen[index],
        )


@dataclass(frozen=True, eq=False)
class VotePredictions:
    """N faces with votes, and the probabilities that a classifier gave the eight emotions.

    Faces without a majority are among them, unlike in predictions against it: they are those with several
    labels.

    Attributes:
        probabilities: float32 (N, 8), columns as in `FERPLUS`, rows sum to 1.
        votes: uint8 (N, 10), columns as in `mien.emotions.VOTES`.
    """

    probabilities: NDArray[np.float32]
    votes: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Targets:
    """The N faces of a split that can be scored, and what is true of them.

    Attributes:
        indices: (N,) index of each face among those of the split.
        faces, truth, classes, split, labels, not_in_training, left_out: as in `Predictions`.
    """

    indices: NDArray[np.intp]
    faces: FaceTable
    truth: NDArray[np.int64]
    classes: tuple[str, ...]
    split: str
    labels: Labels
    not_in_training: NDArray[np.bool_] | None
    left_out: Mapping[str, int]

    def predictions(
        self, probabilities: Floats, columns: tuple[str, ...], *, model: str, head: str
    ) -> Predictions:
        """These faces with the probabilities (N, len(columns)) that a head of a model gives them."""
        return Predictions(
            classes=self.classes,
            probabilities=align(probabilities, columns, self.classes),
            truth=self.truth,
            model=model,
            head=head,
            faces=self.faces,
            split=self.split,
            labels=self.labels,
            not_in_training=self.not_in_training,
            left_out=self.left_out,
        )


def predict_split(
    classifier: Classifier,
    table: FaceTable,
    split: str,
    *,
    head: str,
    labels: Labels = "fer2013",
    known_only: bool = False,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """The classifier's predictions for the labelled faces of a split.

    It predicts among the classes of the truth: columns are matched by name (any alias that
    `mien.emotions.canonical` knows, or the same text), its other columns are dropped and the rest
    scaled to sum to 1.
    `head` names the classifier's head in the report. `progress` is called with the number of faces in each
    batch.

    Raises:
        DataError: the table has no such split.
        UsageError: no face of the split has a label; there are no votes for `labels` ``"ferplus"``; or faces
            are of a class that the classifier does not know (`known_only` leaves those out and counts them).
        ModelError: the classifier gave no probabilities.
    """
    targets = targets_of(
        table, split, classifier.labels, model=classifier.name, labels=labels, known_only=known_only
    )
    given = classify(classifier, targets.faces.pixels, batch_size=batch_size, progress=progress)
    return targets.predictions(given, classifier.labels, model=classifier.name, head=head)


def vote_predictions(predictions: Predictions) -> VotePredictions:
    """The predictions for faces with votes, of which there may be fewer than the split has.

    Predictions against the majority leave out the faces on which people disagreed; `predict_votes` does not.

    Raises:
        UsageError: the faces have no votes.
    """
    if predictions.faces.votes is None:
        raise UsageError(
            f"{predictions.faces.source or 'the data'} has no FER+ votes. Give them with --votes."
        )
    emotions = align(predictions.probabilities, predictions.classes, FERPLUS)
    return VotePredictions(emotions, predictions.faces.votes)


def predict_votes(
    classifier: Classifier,
    table: FaceTable,
    split: str,
    *,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> VotePredictions:
    """The classifier's predictions for the faces of a split that have votes.

    Raises:
        DataError: the table has no such split.
        UsageError: no face of it has votes.
        ModelError: the classifier gave no probabilities.
    """
    faces = table.split(split)
    if faces.votes is None or not faces.votes.any():
        raise UsageError(
            f"{table.source or 'the data'} has no FER+ votes for {split}. Give them with --votes."
        )
    voted = faces.votes.any(axis=1)
    given = classify(classifier, faces.pixels[voted], batch_size=batch_size, progress=progress)
    return VotePredictions(align(given, classifier.labels, FERPLUS), faces.votes[voted])


def targets_of(
    table: FaceTable,
    split: str,
    columns: tuple[str, ...],
    *,
    model: str,
    labels: Labels = "fer2013",
    known_only: bool = False,
) -> Targets:
    """The labelled faces of a split, of the classes among the `columns` that the `model` of that name knows.

    Raises:
        DataError: the table has no such split.
        UsageError: no face can be scored, or one is of a class that is no column; with `known_only` these are
            left out and counted.
    """
    indices, truth, classes, left_out = _labelled(faces := table.split(split), labels)
    names = {class_name(name) for name in columns}
    known = np.array([class_name(name) in names for name in classes])
    counts = np.bincount(truth, minlength=len(classes))
    unknown = {name: int(counts[i]) for i, name in enumerate(classes) if not known[i] and counts[i]}
    if unknown and not known_only:
        listed = ", ".join(f"{name} ({count})" for name, count in unknown.items())
        raise UsageError(
            f"{faces.source or 'the data'} has faces of classes that model {model!r} does not "
            f"know: {listed}. It knows: {', '.join(columns)}. Choose another of its heads with "
            "--head, or leave these faces out with --known-only."
        )
    kept = known[truth]
    if not kept.any():
        raise UsageError(f"model {model!r} knows none of the classes {', '.join(classes)}.")
    return _targets(
        table,
        split,
        indices[kept],
        (np.cumsum(known) - 1)[truth[kept]],
        tuple(name for name, is_known in zip(classes, known, strict=True) if is_known),
        labels,
        {**left_out, **unknown},
    )


def binary_targets(
    table: FaceTable,
    split: str,
    columns: tuple[str, ...],
    task: BinaryTask,
    *,
    model: str,
    labels: Labels = "fer2013",
) -> Targets:
    """The faces of a split that are of either class of a binary task; the others are left out and counted.

    Raises:
        DataError: the table has no such split.
        UsageError: the model has other columns than the task's classes, or no face is of either class.
    """
    if columns != task.classes:
        raise UsageError(f"model {model!r} predicts {', '.join(columns)}, not {' or '.join(task.classes)}.")
    indices, truth, classes, left_out = _labelled(table.split(split), labels)
    sides = np.array(task.sides(classes))[truth]
    kept = sides != NEITHER
    if not kept.any():
        raise UsageError(f"no face of {split} is {' or '.join(task.classes)}.")
    neither = {name: int((truth[~kept] == label).sum()) for label, name in enumerate(classes)}
    left_out |= {name: count for name, count in neither.items() if count}
    return _targets(table, split, indices[kept], sides[kept].astype(np.int64), task.classes, labels, left_out)


def truth_of(
    faces: FaceTable, labels: Labels
) -> tuple[FaceTable, NDArray[np.int64], tuple[str, ...], dict[str, int]]:
    """The faces that have a label of that kind, their labels, the classes, and how many were left out.

    Raises:
        UsageError: none has a label, or there are no votes for ``"ferplus"``.
    """
    indices, truth, classes, left_out = _labelled(faces, labels)
    return faces.take(indices), truth, classes, left_out


def align(probabilities: Floats, labels: tuple[str, ...], classes: tuple[str, ...]) -> NDArray[np.float32]:
    """The columns of `classes`, (N, len(classes)), out of the columns of `labels`; rows sum to 1.

    Columns that are no class are dropped and the rest scaled up; a class that is no column gets 0; a row
    with nothing left becomes even.
    """
    if labels == classes:
        return probabilities.astype(np.float32, copy=False)
    columns = {class_name(name): column for column, name in enumerate(classes)}
    kept = np.zeros((len(probabilities), len(classes)), np.float64)
    for source, name in enumerate(labels):
        if (column := columns.get(class_name(name))) is not None:
            kept[:, column] += probabilities[:, source]
    totals = kept.sum(axis=1, keepdims=True)
    even = np.full_like(kept, 1 / len(classes))
    scaled: NDArray[np.float32] = np.divide(kept, totals, out=even, where=totals > 0).astype(np.float32)
    return scaled


def default_split(table: FaceTable) -> str:
    """PublicTest where the table has it, else its only split.

    Raises:
        UsageError: it has several splits, and none is PublicTest.
    """
    splits = list(table.split_counts)
    if PUBLIC_TEST in splits or not splits:
        return PUBLIC_TEST
    if len(splits) > 1:
        raise UsageError(
            f"{table.source or 'the data'} has the splits {', '.join(splits)}, and none is {PUBLIC_TEST}. "
            "Choose one with --split."
        )
    return splits[0]


def _labelled(
    faces: FaceTable, labels: Labels
) -> tuple[NDArray[np.intp], NDArray[np.int64], tuple[str, ...], dict[str, int]]:
    """Which faces have a label of that kind, their labels, the classes, and how many were left out."""
    if labels == "fer2013":
        truth, classes, reason = faces.labels, faces.classes, "unlabelled"
    elif faces.votes is None:
        raise UsageError(
            f"{faces.source or 'the data'} has no FER+ votes. Give them with --votes fer2013new.csv "
            "(github.com/microsoft/FERPlus) or score against its own labels with --labels fer2013."
        )
    else:
        truth, classes, reason = majority(faces.votes), FERPLUS, "no majority"
    missing = truth == (UNLABELLED if labels == "fer2013" else NO_MAJORITY)
    if missing.all():
        raise UsageError(
            f"none of the {len(faces)} faces in {faces.source or 'the data'} can be scored ({reason})."
        )
    left_out = {reason: int(missing.sum())} if missing.any() else {}
    return np.flatnonzero(~missing), truth[~missing], classes, left_out


def _targets(
    table: FaceTable,
    split: str,
    indices: NDArray[np.intp],
    truth: NDArray[np.int64],
    classes: tuple[str, ...],
    labels: Labels,
    left_out: Mapping[str, int],
) -> Targets:
    split = table.find_split(split) or split  # "train" is Training
    faces = table.split(split).take(indices)
    training = table.splits == TRAINING
    comparable = split != TRAINING and bool(training.any())
    unseen = not_in(faces, table.take(training)) if comparable else None
    return Targets(indices, faces, truth, classes, split, labels, unseen, left_out)
