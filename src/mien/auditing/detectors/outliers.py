"""Images that show nothing, or no face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.auditing.findings import Finding, make_finding
from mien.auditing.inputs import TablePredictions
from mien.data.table import FaceTable
from mien.emotions import VOTES

# The standard deviation of the pixels, 0-255, below which an image is blank. In FER2013's Training and
# PublicTest 14 images lie below; the next is at 9, and nine of ten voters called it a face.
BLANK = 5.0
# Six by six cells of eight directions for a 48 px face, after Dalal and Triggs 2005, "Histograms of Oriented
# Gradients for Human Detection".
_CELLS, _DIRECTIONS = 6, 8
_COMPONENTS = 60
_BLOCK = 2048
NOT_A_FACE = VOTES[-1]
# From this probability of "not a face" on, an image is listed.
_LEAST_PROBABILITY = 0.1
# With fewer images, outliers cannot be told from the rest.
FEWEST = 200
# The share of all images that is listed, for a person to review.
LISTED = 0.0125

Floats = NDArray[np.float32]


def find_blank(table: FaceTable) -> Iterator[Finding]:
    """Images with almost no contrast, the lowest first; the score is 1 for a single gray."""
    contrast = table.pixels.reshape(len(table), -1).std(axis=1)
    indices = np.flatnonzero(contrast < BLANK)
    for index in indices[np.argsort(contrast[indices], kind="stable")]:
        evidence = f"the pixels' standard deviation is {contrast[index]:.1f} of 255"
        yield make_finding(table, index, "blank", 1 - contrast[index] / BLANK, evidence)


def find_not_a_face(table: FaceTable) -> Iterator[Finding]:
    """The images least similar to the others, the least first; none where there are too few to compare."""
    if len(table) < FEWEST:
        return
    score = outlier_score(table.pixels)
    score[table.pixels.reshape(len(table), -1).std(axis=1) < BLANK] = -np.inf
    for index in np.argsort(-score, kind="stable")[: int(len(table) * LISTED)]:
        if np.isfinite(score[index]):
            evidence = f"edges and gray values {score[index]:.1f} standard deviations from the other faces"
            yield make_finding(table, index, "not a face", score[index], evidence)


def find_not_a_face_by_model(table: FaceTable, predictions: TablePredictions | None) -> Iterator[Finding]:
    """The images that a model predicts as not a face, the most probable first; none without that class.

    The score is that probability. Such a model has learned from votes: its predictions for faces that it was
    trained on do not show how well it finds others.
    """
    if predictions is None or NOT_A_FACE not in predictions.labels:
        return
    probability = predictions.probabilities[:, predictions.labels.index(NOT_A_FACE)]
    shows = table.pixels.reshape(len(table), -1).std(axis=1) >= BLANK
    indices = np.flatnonzero(shows & (probability >= _LEAST_PROBABILITY))
    for index in indices[np.argsort(-probability[indices], kind="stable")]:
        evidence = f"{predictions.name} predicts not a face with {probability[index]:.0%}"
        yield make_finding(table, index, "not a face (model)", probability[index], evidence)


def outlier_score(faces: NDArray[np.uint8]) -> Floats:
    """How different each face is from all others, (N,), in standard deviations: most are within -3 to 3.

    Twice the angle between its edges and the mean's, and once what 60 principal components of all the faces
    leave of it. Nothing is learned from labels or votes.

    Source: Turk and Pentland 1991, "Eigenfaces for Recognition", for the distance from face space.
    """
    edges = edge_histograms(faces)
    mean = edges.mean(axis=0)
    length = np.linalg.norm(edges, axis=1) * np.linalg.norm(mean)
    likeness = np.divide(edges @ mean, length, out=np.zeros(len(edges), np.float32), where=length > 0)
    score: Floats = (_standard(_residual(faces)) + 2 * _standard(-likeness)) / np.float32(3)
    return score


def edge_histograms(faces: NDArray[np.uint8], cells: int = _CELLS) -> Floats:
    """How strong the edges of each direction are in each of the cells, (N, cells * cells * directions)."""
    n, height, width = faces.shape
    rows = (np.arange(height) * cells) // height
    columns = (np.arange(width) * cells) // width
    histograms = np.empty((n, cells * cells * _DIRECTIONS), np.float32)
    starts = [np.searchsorted(each, np.arange(cells)) for each in (rows, columns)]
    for start in range(0, n, _BLOCK):
        block = faces[start : start + _BLOCK].astype(np.float32)
        down, right = np.zeros_like(block), np.zeros_like(block)
        down[:, 1:-1] = block[:, 2:] - block[:, :-2]
        right[:, :, 1:-1] = block[:, :, 2:] - block[:, :, :-2]
        strength = np.hypot(down, right)
        direction = (np.arctan2(down, right) % np.pi / np.pi * _DIRECTIONS).astype(int) % _DIRECTIONS
        parts = np.stack([_sums(strength * (direction == d), starts) for d in range(_DIRECTIONS)], axis=-1)
        length = np.linalg.norm(parts, axis=-1, keepdims=True)
        parts /= length + length.mean(axis=(1, 2), keepdims=True) + 1e-6
        histograms[start : start + _BLOCK] = parts.reshape(len(block), -1)
    return histograms


def _sums(values: Floats, starts: list[NDArray[np.intp]]) -> Floats:
    """Sums over the cells, (N, H, W) to (N, cells, cells)."""
    sums: Floats = np.add.reduceat(np.add.reduceat(values, starts[0], axis=1), starts[1], axis=2)
    return sums


def _residual(faces: NDArray[np.uint8]) -> Floats:
    """What the first principal components of all faces, each brought to mean 0 and deviation 1, leave."""
    flat = faces.reshape(len(faces), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(flat.std(axis=1, keepdims=True), 1)
    flat -= flat.mean(axis=0)
    # A few thousand faces fix the first components; all of them would cost seconds more.
    some = flat[:: max(1, len(flat) // 8000)]
    _, vectors = np.linalg.eigh(some.T @ some)
    known = flat @ vectors[:, -_COMPONENTS:]
    left: Floats = (flat**2).sum(axis=1) - (known**2).sum(axis=1)
    return left


def _standard(values: Floats) -> Floats:
    spread = values.std()
    standard: Floats = (values - values.mean()) / (spread if spread > 0 else np.float32(1))
    return standard
