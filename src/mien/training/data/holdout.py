"""Validation faces held out from the training split, where the data has no split of its own for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.data.folders.subjects import known_subjects
from mien.data.table import FaceTable
from mien.errors import DataError
from mien.runs.recipe_sections import DataRecipe

# The split of the faces that chose the epoch of a run, for measures after the training.
HELD_OUT = "held out"


def held_out(faces: FaceTable, share: float, pattern: str = "") -> NDArray[np.bool_]:
    """A mask (N,) of the faces that are held out: about `share` of the faces of each class.

    All faces of a subject are on one side, if the subjects are known, and so are pixel-identical faces. The
    choice depends on the faces alone: not on their order, and not on a seed.

    Args:
        faces: the labelled faces to divide, (N,).
        share: of the faces of each class, between 0 and 1.
        pattern: the regular expression of the subject, as `mien.data.folders.subjects` describes it.

    Raises:
        DataError: all faces are of one subject or identical; or a `pattern` does not fit the names of files.
    """
    groups = _groups(faces, known_subjects(faces, pattern))
    classes, labels = np.unique(faces.labels, return_inverse=True)
    counts = np.zeros((groups.max(initial=-1) + 1, len(classes)))
    np.add.at(counts, (groups, labels), 1)
    chosen = _choose(counts, share, _order(faces, groups, len(counts)))
    mask: NDArray[np.bool_] = chosen[groups]
    if mask.all():
        raise DataError(
            f"{faces.source}: the {len(faces):,} faces are of one person or identical, so none can be held "
            "out. Give faces of other people."
        )
    return mask


def with_held_out_split(faces: FaceTable, spec: DataRecipe) -> FaceTable:
    """The table of a run's data in which its held-out faces are the split `HELD_OUT`, the others Training.

    Faces without a label stay in Training; other splits stay as they are.

    Raises:
        DataError: as `held_out`; or the table has no split that the run was trained on.
    """
    train = faces.split(spec.train).splits[0]
    mine = np.flatnonzero((faces.splits == train) & (faces.labels >= 0))
    chosen = mine[held_out(faces.take(mine), spec.holdout, spec.subject)]
    splits = np.where(faces.splits == train, "Training", faces.splits).astype(object)
    splits[chosen] = HELD_OUT
    return replace(faces, splits=splits.astype(str))


def _groups(faces: FaceTable, subjects: NDArray[np.str_] | None) -> NDArray[np.intp]:
    """The number of each face's group, (N,): faces linked by a subject or by equal pixels share one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(faces)
    links = [np.unique(faces.pixel_keys, return_inverse=True)[1]]
    if subjects is not None:
        links.append(np.unique(subjects, return_inverse=True)[1] + n)
    # A graph of faces and of what they share: keys are nodes from n on, subjects from 2n on.
    rows = np.concatenate([np.arange(n)] * len(links))
    columns = np.concatenate(links) + n
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(3 * n, 3 * n))
    number = connected_components(graph, directed=False)[1][:n]
    groups: NDArray[np.intp] = np.unique(number, return_inverse=True)[1]
    return groups


def _order(faces: FaceTable, groups: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """The groups, large ones first; those of one size in the order of a hash of their pixels."""
    smallest = np.full(count, "g" * 32, "S32")  # after every hexadecimal digest
    by_key = np.argsort(faces.pixel_keys)[::-1]
    smallest[groups[by_key]] = faces.pixel_keys[by_key]  # the last one that is written is the smallest
    sizes = np.bincount(groups, minlength=count)
    order: NDArray[np.intp] = np.lexsort((smallest, -sizes))
    return order


def _choose(counts: NDArray[np.float64], share: float, order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The groups to hold out: each in turn, if the shares of the classes come nearer to `share` by it.

    The greedy rule of scikit-learn's StratifiedGroupKFold, for one part of any size.
    """
    totals = counts.sum(axis=0)
    relative = counts / totals
    chosen = np.zeros(len(counts), bool)
    held = np.zeros(len(totals))
    distance = float(((held - share) ** 2).sum())
    for group in order:
        after = held + relative[group]
        if (nearer := float(((after - share) ** 2).sum())) < distance:
            chosen[group], held, distance = True, after, nearer
    if not chosen.any():  # each is too much, as of a few people: the one that is nearest
        chosen[((relative - share) ** 2).sum(axis=1).argmin()] = True
    return chosen
