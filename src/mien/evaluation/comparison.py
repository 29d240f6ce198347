"""What several classifiers predicted for the same faces, from their predictions or a CSV of them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.emotions import VOTES
from mien.errors import FormatError, SourceNotFound, UsageError
from mien.evaluation.predictions import Predictions
from mien.files import read_csv

# What identifies a face: its split, its row in the source, its file.
Face = tuple[str, str, str]

_NEEDED = ("row", "split", "truth", "predicted")


@dataclass(frozen=True, eq=False)
class PredictedClasses:
    """The class that one classifier predicts for each of N faces.

    Attributes:
        name: of the classifier.
        faces: which they are, (N).
        truth, predicted: names of classes, (N,).
        in_training: (N,) whether the face is pixel-identical to one in Training; None if that is not known.
        subjects: (N,) the person on the face; None if that is not known.
        seed: of a classifier that is one of several of this name, trained with different seeds; else None.
    """

    name: str
    faces: tuple[Face, ...]
    truth: NDArray[np.str_]
    predicted: NDArray[np.str_]
    in_training: NDArray[np.bool_] | None
    subjects: NDArray[np.str_] | None = None
    seed: int | None = None


def predicted_classes(predictions: Predictions, name: str | None = None) -> PredictedClasses:
    """The most probable class of each face; the first of equals."""
    p = predictions
    classes = np.array(p.classes)
    names = np.full(len(p.truth), "") if p.faces.names is None else p.faces.names
    return PredictedClasses(
        name=name or p.model,
        faces=tuple((p.split, str(row), str(file)) for row, file in zip(p.faces.rows, names, strict=True)),
        truth=classes[p.truth],
        predicted=classes[p.probabilities.argmax(axis=1)],
        in_training=None if p.not_in_training is None else ~p.not_in_training,
        subjects=p.subjects,
    )


def read_predictions(path: Path) -> PredictedClasses:
    """The predictions in a CSV of ``mien evaluate --predictions``, named after the file.

    Raises:
        SourceNotFound: there is no such file.
        FormatError: it has other columns, no row, or a face twice.
    """
    try:
        rows = read_csv(path)
    except FileNotFoundError:
        raise SourceNotFound(
            f"{path} does not exist. Write it with: mien evaluate --predictions {path}"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} is no CSV of predictions: {error}.") from error
    lacking = [name for name in _NEEDED if not rows or rows[0].get(name) is None]
    if lacking:
        raise FormatError(
            f"{path} is no CSV of mien evaluate --predictions: it has no "
            f"{'rows' if not rows else 'column ' + ', '.join(lacking)}."
        )
    faces = tuple((row["split"], row["row"], row.get("name") or "") for row in rows)
    (often, times), *_ = Counter(faces).most_common(1)
    if times > 1:
        raise FormatError(f"{path} has a face {times} times: row {often[1]} of {often[0]}.")
    known = [row.get("in_training") or "" for row in rows]
    people = [row.get("subject") or "" for row in rows]
    return PredictedClasses(
        name=path.stem,
        faces=faces,
        truth=np.array([row["truth"] for row in rows]),
        predicted=np.array([row["predicted"] for row in rows]),
        in_training=np.array([each == "1" for each in known]) if all(known) else None,
        subjects=np.array(people) if all(people) else None,
    )


@dataclass(frozen=True, eq=False)
class CommonFaces:
    """K classifiers on the N faces that all of them predicted.

    Attributes:
        names: of the classifiers, (K).
        classes: every name of a class among truths and predictions.
        truth: (N,) index into `classes`.
        predicted: (R, N) likewise: of each classifier in turn one row, or one per seed.
        not_in_training: (N,) faces without a pixel-identical one in Training; None where that is unknown.
        left_out: name to the number of its faces that are missing from another.
        subjects: (N,) the person on each face; None where that is unknown.
        seeds: of each classifier, (K); None for one that is a single network. Empty: all are.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    not_in_training: NDArray[np.bool_] | None
    left_out: dict[str, int]
    subjects: NDArray[np.str_] | None = None
    seeds: tuple[tuple[int, ...] | None, ...] = ()

    def seeds_of(self, classifier: int) -> tuple[int, ...] | None:
        """The seeds of a classifier; None if it is a single network."""
        return self.seeds[classifier] if self.seeds else None

    def rows_of(self, classifier: int) -> list[int]:
        """The rows of `predicted` of a classifier."""
        sizes = [len(self.seeds_of(i) or (0,)) for i in range(classifier + 1)]
        return list(range(sum(sizes[:-1]), sum(sizes)))


def join_predictions(several: Sequence[PredictedClasses]) -> CommonFaces:
    """The predictions brought together face by face, in the order of the first.

    Those of one name with different seeds, one after the other, are one classifier.

    Raises:
        UsageError: fewer than two, two of one name, no face in common, or a face with two truths.
    """
    groups = [[each for _, each in found] for _, found in groupby(enumerate(several), _classifier_of)]
    names = tuple(group[0].name for group in groups)
    if len(names) < 2:
        raise UsageError("a comparison needs two at least. Give two runs, models or CSVs of predictions.")
    if len(set(names)) < len(names):
        raise UsageError(
            f"two of {', '.join(names)} have the same name; rename one, so that they can be told apart."
        )
    positions = [{face: i for i, face in enumerate(each.faces)} for each in several]
    common = [face for face in several[0].faces if all(face in position for position in positions)]
    if not common:
        raise UsageError(
            f"{', '.join(names)} have no face in common. Evaluate them on the same data and split."
        )
    index = [np.array([position[face] for face in common]) for position in positions]
    truths = np.stack([each.truth[i] for each, i in zip(several, index, strict=True)])
    if (differ := (truths != truths[0]).any(axis=0)).any():
        face = common[int(differ.argmax())]
        raise UsageError(
            f"row {face[1]} of {face[0]} is {' and '.join(sorted(set(truths[:, differ.argmax()])))}: "
            f"{', '.join(names)} were scored against different labels. Evaluate them with the same --labels."
        )
    predicted = np.stack([each.predicted[i] for each, i in zip(several, index, strict=True)])
    found, numbers = np.unique(np.concatenate([truths[:1], predicted]), return_inverse=True)
    # In mien's order of emotions, not the alphabet's.
    order = sorted(
        range(len(found)), key=lambda i: (VOTES.index(found[i]) if found[i] in VOTES else -1, found[i])
    )
    classes, numbers = found[order], np.argsort(order)[numbers].reshape(len(several) + 1, len(common))
    seen = next(
        (e.in_training[i] for e, i in zip(several, index, strict=True) if e.in_training is not None), None
    )
    people = next(
        (e.subjects[i] for e, i in zip(several, index, strict=True) if e.subjects is not None), None
    )
    return CommonFaces(
        names=names,
        classes=tuple(str(name) for name in classes),
        truth=numbers[0],
        predicted=numbers[1:],
        not_in_training=None if seen is None else ~seen,
        left_out={
            each.name: len(each.faces) - len(common) for each in several if len(each.faces) > len(common)
        },
        subjects=people,
        seeds=tuple(tuple(e.seed for e in group if e.seed is not None) or None for group in groups),
    )


def _classifier_of(numbered: tuple[int, PredictedClasses]) -> tuple[str, int]:
    """The same for the seeds of one classifier, and for no others."""
    number, each = numbered
    return each.name, number if each.seed is None else -1
