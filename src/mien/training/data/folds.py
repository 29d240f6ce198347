"""Subject-independent folds: no person is both learned from and measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.data.folders.subjects import subjects_of
from mien.data.table import FaceTable
from mien.errors import DataError
from mien.runs import recipe as recipes

# The folds are the data's alone: runs of other seeds and recipes are measured on the same ones.
_SEED = 0


def fold_numbers(faces: FaceTable, spec: recipes.Data) -> NDArray[np.int64]:
    """The fold of each face, (N,), 1 to `data.folds`; all faces of a subject are in one.

    Subjects are dealt so that each fold has about as many faces of each emotion. The same faces give the same
    folds, whatever their order.

    Raises:
        DataError: the names of the files do not tell the subjects, or there are fewer of them than folds.
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
    for number, (_, held) in enumerate(dealer.split(order, faces.labels[order], subjects[order]), 1):
        numbers[order[held]] = number
    return numbers


def fold_of(faces: FaceTable, spec: recipes.Data) -> tuple[FaceTable, FaceTable]:
    """The faces to learn from, and those of the fold `data.fold`.

    They are out of the split `data.train` where the table has one of that name, else out of all of it.

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
    held = fold_numbers(faces, spec) == spec.fold
    return faces.take(~held), faces.take(held)
