"""Faces that occur more than once: pixel for pixel, or nearly so."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.auditing.findings import Finding, make_finding
from mien.data.duplicates import groups
from mien.data.table import UNLABELLED, FaceTable

# Faces are first compared as thumbnails of that side, which costs a twelfth of the pixels' products.
_THUMBNAIL = 12
# Pairs whose thumbnails correlate less are not compared in full; this loses some shifted copies.
_CANDIDATE = 0.97
# Inspected by eye on FER2013: 20 pairs in each of six bands from 0.8 to 1; each pair was one photo twice.
NEAR = 0.9
# Below this standard deviation of the pixels, an image shows nothing to compare.
_SHOWS = 5.0
_BLOCK = 2048
_MOST_NAMED = 5


def find_exact(table: FaceTable) -> Iterator[Finding]:
    """Every face that repeats an earlier one pixel for pixel, and the first too where their labels differ.

    The score is 3 if their labels differ, 2 if only their splits differ, else 1.
    """
    for group in groups(table):
        labels = set(table.labels[group].tolist()) - {UNLABELLED}
        across = len(set(table.splits[group].tolist())) > 1
        score = 3 if len(labels) > 1 else 2 if across else 1
        for index in group if len(labels) > 1 else group[1:]:
            others = group[group != index]
            yield make_finding(table, index, "duplicate", score, f"same pixels as {_named(table, others)}")


def near_pairs(table: FaceTable, threshold: float = NEAR) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Pairs of indices (n, 2) whose pixels correlate above the threshold, and how much, (n,); most first.

    Pixel-identical pairs and blank images are left out.
    """
    height, width = table.pixels.shape[1:]
    tall, wide = np.linspace(0, height, _THUMBNAIL + 1)[:-1], np.linspace(0, width, _THUMBNAIL + 1)[:-1]
    sums = np.add.reduceat(table.pixels, tall.astype(int), axis=1, dtype=np.float32)
    small = _standardized(np.add.reduceat(sums, wide.astype(int), axis=2))
    shows = table.pixels.reshape(len(table), -1).std(axis=1) >= _SHOWS
    found = [np.empty((0, 2), np.intp)]
    for start in range(0, len(small), _BLOCK):
        first, second = np.nonzero(small[start : start + _BLOCK] @ small[start:].T > _CANDIDATE)
        ahead = second > first
        found.append(np.stack([first[ahead] + start, second[ahead] + start], axis=1))
    pairs = np.concatenate(found)
    keys = table.pixel_keys[pairs]
    pairs = pairs[shows[pairs].all(axis=1) & (keys[:, 0] != keys[:, 1])]
    alike = np.einsum("nd,nd->n", *(_standardized(table.pixels[pairs[:, i]]) for i in (0, 1)))
    order = np.argsort(-alike, kind="stable")
    order = order[alike[order] > threshold]
    return pairs[order], alike[order].astype(np.float32)


def find_near(table: FaceTable, threshold: float = NEAR) -> Iterator[Finding]:
    """The later face of each nearly identical pair, once, with the face that it resembles most.

    The score is the correlation of their pixels; the evidence names both splits and labels.
    """
    seen = set()
    for (first, second), alike in zip(*near_pairs(table, threshold), strict=True):
        if second not in seen:
            seen.add(second)
            evidence = f"correlates {alike:.3f} with {_named(table, np.array([first]))}"
            yield make_finding(table, second, "near duplicate", float(alike), evidence)


def _standardized(images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Images as rows of mean 0 and length 1, so that a product is a correlation; one gray gives zeros."""
    flat = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    rows: NDArray[np.float32] = np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-3)
    return rows


def _named(table: FaceTable, indices: NDArray[np.intp]) -> str:
    """The faces by row, split and label, the first few."""
    names = [
        f"row {table.rows[i]} ({table.splits[i]}, "
        f"{'no label' if table.labels[i] == UNLABELLED else table.classes[table.labels[i]]})"
        for i in indices[:_MOST_NAMED]
    ]
    rest = len(indices) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")
