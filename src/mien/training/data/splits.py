"""Which faces of a table a run is trained on, and which choose its best epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.data.folders.subjects import known_subjects, subjects_of
from mien.data.table import FaceTable, not_in
from mien.emotions import FER2013, NEITHER, binary_task
from mien.errors import DataError, TrainError
from mien.runs.recipe import Recipe
from mien.runs.recipe_sections import DataRecipe
from mien.training.data.holdout import held_out

# Folds depend on the data alone: runs of other seeds and recipes are measured on the same ones.
_SEED = 0
_PUBLIC_TEST = "PublicTest"


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
    elif spec.holdout:
        train, validation = _holdout(_labelled(faces, spec.train, note), spec, note)
    else:
        train, validation = (_labelled(faces, name, note) for name in (spec.train, spec.validation))
    if spec.binary:
        train, validation = (
            _with_answer(part, spec, note, name)
            for part, name in ((train, spec.train), (validation, spec.validation_name))
        )
        _check_both_sides(train, spec)
    else:
        _check_classes(train, note)
    for name in spec.without_duplicates_of:
        # A split that the table does not have has no duplicates either.
        if name in faces.split_counts:
            whole, train = len(train), train.take(not_in(train, faces.split(name)))
            if len(train) < whole:
                note(f"{whole - len(train)} of {whole} training faces are also in {name}, and are left out.")
    return train, validation


def with_splits_of(faces: FaceTable, plan: Recipe) -> Recipe:
    """The recipe with the names that its splits have in the table, as ``train`` for ``Training``.

    Where faces are held out from the training split, or it is divided in folds, the only split of a table is
    it, whatever its name.

    Raises:
        DataError: the table has no such split; the message lists those it has, and what to do.
    """
    plan = _with_classes(faces, plan)
    spec = plan.data
    divided = bool(spec.folds or spec.holdout)
    train = faces.find_split(spec.train)
    if train is None and divided and len(faces.split_counts) == 1:
        train = next(iter(faces.split_counts))
    if spec.folds:  # of the whole table, where it has no training split
        return plan.changed({"data.train": train or spec.train})
    if train is None:
        raise DataError(_no_split(faces, "train", spec.train))
    if divided:
        return plan.changed({"data.train": train})
    validation = faces.find_split(spec.validation)
    if validation is None and spec.validation == _PUBLIC_TEST:  # FER2013's name for it, and the default
        validation = faces.find_split("validation")
    if validation is None:
        raise DataError(_no_split(faces, "validation", spec.validation))
    return plan.changed({"data.train": train, "data.validation": validation})


def _with_classes(faces: FaceTable, plan: Recipe) -> Recipe:
    """The recipe with the table's classes, where they are not among FER2013's and the recipe has none."""
    if plan.data.classes or plan.data.binary or set(faces.classes) <= set(FER2013):
        return plan
    return plan.changed({"data.classes": list(faces.classes)})


def _no_split(faces: FaceTable, role: str, name: str) -> str:
    message = (
        f"{faces.source or 'the table'} has no split {name!r} ({role}); it has: {faces.splits_listed}. "
        f"Name one with --set data.{role}=NAME, or "
    )
    if role == "train":
        return message + "divide the only split: --holdout 0.15, or --folds 5 for folds by subject."
    return message + (
        "hold out a part of the training faces to choose the epoch: --holdout 0.15, or --folds 5 for folds "
        "by subject. An epoch that is chosen on the test split makes its accuracy too good."
    )


def _holdout(faces: FaceTable, spec: DataRecipe, note: Callable[[str], None]) -> tuple[FaceTable, FaceTable]:
    """The faces of the training split to learn from, and those that are held out."""
    mask = held_out(faces, spec.holdout, spec.subject)
    by = "by subject"
    if known_subjects(faces, spec.subject) is None:
        by = "subjects are not known, so a person may be in both; data.subject reads them from file names"
    note(
        f"{int((~mask).sum()):,} faces to train on, and {int(mask.sum()):,} of {spec.train} held out ({by})."
    )
    return faces.take(~mask), faces.take(mask)


def _check_classes(train: FaceTable, note: Callable[[str], None]) -> None:
    """Name the classes without a face to learn from.

    Raises:
        DataError: there are fewer than two classes.
    """
    missing = train.missing_classes
    if len(train.classes) - len(missing) < 2:
        present = next(name for name in train.classes if name not in missing)
        raise DataError(
            f"{train.source}: all {len(train):,} faces to learn from are {present}, and a classifier needs "
            "two classes. If the folders have other names for the emotions, give --label-map FILE, a CSV "
            "with the columns folder,emotion. mien data info lists what was left out."
        )
    if missing:
        note(f"No face to learn from is {', '.join(missing)}: the model will not predict what it never saw.")


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
    for number, (_, members) in enumerate(dealer.split(order, faces.labels[order], subjects[order]), 1):
        numbers[order[members]] = number
    return numbers


def fold_of(faces: FaceTable, spec: DataRecipe) -> tuple[FaceTable, FaceTable]:
    """The faces to train on, and those of the fold `data.fold`.

    Both are from the split `data.train` if the table has it, else from the whole table.

    Raises:
        DataError, UsageError: as `fold_numbers` does; or the table has no labelled face.
    """
    faces = faces.take(_dealt(faces, spec))
    held_out = fold_numbers(faces, spec) == spec.fold
    return faces.take(~held_out), faces.take(held_out)


def with_fold_split(faces: FaceTable, spec: DataRecipe) -> FaceTable:
    """The table of a run's data in which its fold is the split `spec.validation_name`, other folds Training.

    Faces that are in no fold stay in their splits. The table has the subjects by which it was divided.

    Raises:
        DataError, UsageError: as `fold_of`.
    """
    dealt = _dealt(faces, spec)
    mine = faces.take(dealt)
    held_out = fold_numbers(mine, spec) == spec.fold
    splits = faces.splits.astype(object)
    splits[dealt] = np.where(held_out, spec.validation_name, "Training")
    subjects = np.full(len(faces), "", object)
    subjects[dealt] = subjects_of(mine, spec.subject)
    return replace(faces, splits=splits.astype(str), subjects=subjects.astype(str))


def _dealt(faces: FaceTable, spec: DataRecipe) -> NDArray[np.intp]:
    """The indices of the faces that are divided into folds.

    Raises:
        DataError: none has a label.
    """
    dealt = faces.labels >= 0
    if spec.train in faces.split_counts:
        dealt &= faces.splits == spec.train
    if not dealt.any():
        raise DataError(
            f"{faces.source or 'the table'} has no labelled face, so there is nothing to learn from."
        )
    return np.flatnonzero(dealt)
