"""What a classifier said of the faces of one split, beside what is true of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.data.table import UNLABELLED, FaceTable, not_in
from mien.data.votes import NO_MAJORITY, majority
from mien.emotions import FERPLUS, NEITHER, BinaryTask, canonical
from mien.errors import UsageError
from mien.evaluation.metrics.classification import Floats
from mien.models.classifier import Classifier, classify

TRAINING = "Training"

# "fer2013": the labels of the data; "ferplus": the majority of its FER+ votes.
Labels = Literal["fer2013", "ferplus"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """N labelled faces of one split and the probabilities a classifier gave them.

    Attributes:
        classes: names of the columns, in order.
        probabilities: float32 (N, C), rows sum to 1.
        truth: int64 (N,), index into `classes`.
        model: name of the classifier.
        head: which of its answers this is.
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
    """What the classifier says of the labelled faces of a split.

    The classifier answers among the classes of the truth: columns are matched by name (any alias that
    `mien.emotions.canonical` knows), its other columns are dropped and the rest scaled to sum to 1.
    `head` names the classifier's answer in the report. `progress` is called with the number of faces in each
    batch.

    Raises:
        DataError: the table has no such split.
        UsageError: no face of the split has a label; votes are asked for and there are none; or faces are of
            a class that the classifier does not know (with `known_only` those are left out and counted).
        ModelError: the classifier's answer is no probabilities.
    """
    labelled, truth, classes, left_out = truth_of(table.split(split), labels)
    judged, truth, classes, unknown = _known(labelled, truth, classes, classifier, known_only=known_only)
    answers = classify(classifier, judged.pixels, batch_size=batch_size, progress=progress)
    return Predictions(
        classes=classes,
        probabilities=align(answers, classifier.labels, classes),
        truth=truth,
        model=classifier.name,
        head=head,
        faces=judged,
        split=split,
        labels=labels,
        not_in_training=_not_in_training(judged, table, split),
        left_out={**left_out, **unknown},
    )


def predict_binary(
    classifier: Classifier,
    table: FaceTable,
    split: str,
    framing: BinaryTask,
    *,
    labels: Labels = "fer2013",
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Predictions:
    """The answers of a classifier whose two columns are the framing's, on the faces that are on a side.

    Faces on neither side are left out and counted.

    Raises:
        DataError: the table has no such split.
        UsageError: the classifier answers something else, or no face is on a side.
        ModelError: the classifier's answer is no probabilities.
    """
    if classifier.labels != framing.classes:
        raise UsageError(
            f"model {classifier.name!r} answers {', '.join(classifier.labels)}, not "
            f"{' or '.join(framing.classes)}."
        )
    labelled, truth, classes, left_out = truth_of(table.split(split), labels)
    sides = np.array(framing.sides(classes))[truth]
    kept = sides != NEITHER
    if not kept.any():
        raise UsageError(f"no face of {split} is {' or '.join(framing.classes)}.")
    faces = labelled.take(kept)
    gone = {name: int((truth[~kept] == label).sum()) for label, name in enumerate(classes)}
    return Predictions(
        classes=framing.classes,
        probabilities=classify(classifier, faces.pixels, batch_size=batch_size, progress=progress),
        truth=sides[kept].astype(np.int64),
        model=classifier.name,
        head=framing.name,
        faces=faces,
        split=split,
        labels=labels,
        not_in_training=_not_in_training(faces, table, split),
        left_out={**left_out, **{name: count for name, count in gone.items() if count}},
    )


def vote_predictions(predictions: Predictions) -> VotePredictions:
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
    return VotePredictions(emotions, predictions.faces.votes)


def predict_votes(
    classifier: Classifier,
    table: FaceTable,
    split: str,
    *,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> VotePredictions:
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
    return VotePredictions(align(answers, classifier.labels, FERPLUS), faces.votes[voted])


def truth_of(
    faces: FaceTable, labels: Labels
) -> tuple[FaceTable, NDArray[np.int64], tuple[str, ...], dict[str, int]]:
    """The faces that have a label of that kind, their labels, the classes, and how many were left out.

    Raises:
        UsageError: none has a label, or votes are asked for and there are none.
    """
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
    return faces.take(~missing), truth[~missing], classes, left_out


def align(probabilities: Floats, labels: tuple[str, ...], classes: tuple[str, ...]) -> NDArray[np.float32]:
    """The columns of `classes`, (N, len(classes)), out of the columns of `labels`; rows sum to 1.

    Columns that are no class are dropped and the rest scaled up; a class that is no column gets 0; a row
    with nothing left becomes even.

    Raises:
        UnknownEmotion: a name that is no alias of an emotion.
    """
    if labels == classes:
        return probabilities.astype(np.float32, copy=False)
    columns = {canonical(name): column for column, name in enumerate(classes)}
    kept = np.zeros((len(probabilities), len(classes)), np.float64)
    for source, name in enumerate(labels):
        if (column := columns.get(canonical(name))) is not None:
            kept[:, column] += probabilities[:, source]
    totals = kept.sum(axis=1, keepdims=True)
    even = np.full_like(kept, 1 / len(classes))
    scaled: NDArray[np.float32] = np.divide(kept, totals, out=even, where=totals > 0).astype(np.float32)
    return scaled


def _known(
    faces: FaceTable,
    truth: NDArray[np.int64],
    classes: tuple[str, ...],
    classifier: Classifier,
    *,
    known_only: bool,
) -> tuple[FaceTable, NDArray[np.int64], tuple[str, ...], dict[str, int]]:
    """The faces of classes that the classifier knows, and those classes alone."""
    names = {canonical(name) for name in classifier.labels}
    known = np.array([canonical(name) in names for name in classes])
    counts = np.bincount(truth, minlength=len(classes))
    strange = {name: int(counts[i]) for i, name in enumerate(classes) if not known[i] and counts[i]}
    if strange and not known_only:
        listed = ", ".join(f"{name} ({count})" for name, count in strange.items())
        raise UsageError(
            f"{faces.source or 'the data'} has faces of classes that model {classifier.name!r} does not "
            f"know: {listed}. It knows: {', '.join(classifier.labels)}. Choose another of its heads with "
            "--head, or leave these faces out with --known-only."
        )
    keep = known[truth]
    if not keep.any():
        raise UsageError(f"model {classifier.name!r} knows none of the classes {', '.join(classes)}.")
    return (
        faces.take(keep),
        (np.cumsum(known) - 1)[truth[keep]],
        tuple(name for name, is_known in zip(classes, known, strict=True) if is_known),
        strange,
    )


def _not_in_training(faces: FaceTable, table: FaceTable, split: str) -> NDArray[np.bool_] | None:
    """Which faces are pixel-identical to none in Training; None where that cannot be told."""
    training = table.splits == TRAINING
    if split == TRAINING or not training.any():
        return None
    return not_in(faces, table.take(training))
