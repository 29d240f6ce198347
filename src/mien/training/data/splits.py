"""Which faces of a table a run is trained on, and which choose its best epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien.data.folders.subjects import subjects_of
from mien.data.table import FaceTable, not_in
from mien.emotions import NEITHER, binary_task
from mien.errors import DataError, TrainError
from mien.runs.recipe_sections import DataRecipe

# Folds depend on the data alone: runs of other seeds and recipes are measured on the same ones.
_SEED = 0


def rows_of(faces: FaceTable, spec: DataRecipe, note: Callable[[str], None]) -> tuple[FaceTable, FaceTable]:
    """The training and the validation faces of a recipe; `note` is called with what is left out.

    Raises:
        DataError: a split is missing or has no labels, or the faces are not square.
    """
    height, width = faces.pixels.shape[1:]
    if height != width:
        raise DataError(
            f"{faces.source}: the faces are {width} x {height} pixels, and training needs them square. "
            "Crop or pad them when loading."
        )
    if spec.folds:
        train, validation = fold_of(faces, spec)
        note(
            f"{spec.validation_name}: {len(train)} faces to train on, and {len(validation)} of other people "
            "held out."
        )
    else:
        train, validation = (_labelled(faces, name, note) for name in (spec.train, spec.validation))
    if spec.binary:
        train, validation = (
            _with_answer(part, spec, note, name)
            for part, name in ((train, spec.train), (validation, spec.validation_name))
        )
        _check_both_sides(train, spec)
    for name in spec.without_duplicates_of:
        # A split that the table does not have has no duplicates either.
        if name in faces.split_counts:
            whole, train = len(train), train.take(not_in(train, faces.split(name)))
            if len(train) < whole:
                note(f"{whole - len(train)} of {whole} training faces are also in {name}, and are left out.")
    return train, validation


def _check_both_sides(train: FaceTable, spec: DataRecipe) -> None:
    framing = binary_task(spec.binary)
    sides = np.array(framing.sides(train.classes))[train.labels]
    for side, name in enumerate(framing.classes):
        if not (sides == side).any():
            raise DataError(
                f"{train.source}: no face to learn from is {name}, so data.binary={spec.binary} cannot be "
                f"learned. The data's emotions: {', '.join(train.classes)}."
            )


def _with_answer(faces: FaceTable, spec: DataRecipe, note: Callable[[str], None], name: str) -> FaceTable:
    """The faces of one of the two classes of the binary task."""
    framing = binary_task(spec.binary)
    kept = np.array(framing.sides(faces.classes))[faces.labels] != NEITHER
    if not kept.any():
        raise DataError(f"{faces.source}: no face of {name} is {' or '.join(framing.classes)}.")
    if not kept.all():
        out = ", ".join(sorted({faces.classes[label] for label in faces.labels[~kept]}))
        sides = " nor ".join(framing.classes)
        note(f"{int((~kept).sum())} faces of {name} are neither {sides} ({out}), and are left out.")
    return faces.take(kept)


def _labelled(faces: FaceTable, name: str, note: Callable[[str], None]) -> FaceTable:
    if name not in faces.split_counts:
        have = ", ".join(f"{split} ({count})" for split, count in faces.split_counts.items())
        raise DataError(
            f"{faces.source or 'the table'} has no split {name!r}; it has: {have or 'no rows'}. "
            "Say which to use with --set data.train=NAME and --set data.validation=NAME; where there is one "
            "alone and its files name the subjects, hold some of them out with --folds 5."
        )
    split = faces.split(name)
    known = split.labels >= 0
    if not known.any():
        raise DataError(f"{faces.source}: no face of {name} has a label, so there is nothing to learn from.")
    if not known.all():
        note(f"{int((~known).sum())} faces of {name} have no label and are left out.")
    return split.take(known)


def batch_of(batch_size: int, faces: int, processes: int) -> int:
    """A process's part of each batch: no more than there are faces for, and two at least.

    Raises:
        TrainError: there are too few faces, or too many processes for the batch.
    """
    batch = min(batch_size, faces) // processes
    if batch < 2:
        raise TrainError(
            f"{faces} faces in batches of {batch_size} leave {batch} a process, and two are needed. "
            "Give more faces, a larger loop.batch_size, or fewer processes."
        )
    return batch


def fold_numbers(faces: FaceTable, spec: DataRecipe) -> NDArray[np.int64]:
    """The fold of each face, (N,), 1 to `data.folds`; all faces of a subject are in one.

    Each fold has about equally many faces of each emotion. The same faces give the same
    folds, whatever their order.

    Raises:
        DataError: the names of the files do not contain the subjects, or there are fewer of them than folds.
        UsageError: `data.subject` is no regular expression with a group.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    subjects = subjects_of(faces, spec.subject)
    count = len(np.unique(subjects))
    if count < spec.folds:
        raise DataError(
            f"{faces.source} shows {count} subjects, too few for {spec.folds} folds. Set data.folds to "
            f"{count} or less."
        )
    order = np.lexsort((faces.pixel_keys, faces.labels, subjects))
    numbers = np.empty(len(faces), np.int64)
    dealer = StratifiedGroupKFold(spec.folds, shuffle=True, random_state=_SEED)
    for number, (_, held_out) in enumerate(dealer.split(order, faces.labels[order], subjects[order]), 1):
        numbers[order[held_out]] = number
    return numbers


def fold_of(faces: FaceTable, spec: DataRecipe) -> tuple[FaceTable, FaceTable]:
    """The faces to train on, and those of the fold `data.fold`.

    Both are from the split `data.train` if the table has it, else from the whole table.

    Raises:
        DataError, UsageError: as `fold_numbers` does; or the table has no labelled face.
    """
    if spec.train in faces.split_counts:
        faces = faces.split(spec.train)
    faces = faces.take(faces.labels >= 0)
    if not len(faces):
        raise DataError(
            f"{faces.source or 'the table'} has no labelled face, so there is nothing to learn from."
        )
    held_out = fold_numbers(faces, spec) == spec.fold
    return faces.take(~held_out), faces.take(held_out)
