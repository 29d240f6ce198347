"""Faces that occur more than once, pixel for pixel.

FER2013 is known for them: among its Training and PublicTest rows are 1,271 groups of identical faces, 47 of
them with conflicting labels, and 280 of the 3,589 PublicTest faces (7.8 %) are also in Training, 273 of
them with the same label. A model that memorized Training gets these right, so the accuracy on the rest of
the split is worth reporting beside the usual one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.data.table import UNLABELLED, FaceTable
from mien.errors import UsageError


def groups(table: FaceTable) -> list[NDArray[np.intp]]:
    """The rows of each set of two or more pixel-identical faces, in order of their first row.

    Each is an ascending index into the table; no row is in two groups. Empty where all faces differ.
    """
    _, which, counts = np.unique(table.pixel_keys, return_inverse=True, return_counts=True)
    by_key = np.argsort(which, kind="stable")
    starts = np.cumsum(counts)[:-1]
    repeated = [rows for rows in np.split(by_key, starts) if len(rows) > 1]
    return sorted(repeated, key=lambda rows: int(rows[0]))


def conflicting(table: FaceTable) -> list[NDArray[np.intp]]:
    """The groups of pixel-identical faces whose labels differ. A face without a label conflicts with none."""
    return [rows for rows in groups(table) if len(np.setdiff1d(table.labels[rows], [UNLABELLED])) > 1]


def across(table: FaceTable, split: str, other: str, *, same_label: bool = False) -> NDArray[np.bool_]:
    """A mask (N,) of the faces of `split` that are pixel-identical to a face of `other`.

    Args:
        table: contains both splits.
        split: whose faces are marked.
        other: the split that is searched for their duplicates; not `split` itself (for that, see `groups`).
        same_label: mark only duplicates with the same label; a face without a label has none.

    Raises:
        DataError: the table lacks one of the splits.
        UsageError: the splits are the same.
    """
    if split == other:
        raise UsageError(f"duplicates are searched between two splits, not within {split!r}; see groups().")
    for name in (split, other):
        if name not in table.split_counts:
            table.split(name)  # raises with the splits of the table
    _, key = np.unique(table.pixel_keys, return_inverse=True)
    if same_label:
        key = key * (len(table.classes) + 1) + table.labels
    searched = table.splits == other
    if same_label:
        searched = searched & (table.labels != UNLABELLED)
    duplicates: NDArray[np.bool_] = (table.splits == split) & np.isin(key, key[searched])
    return duplicates
