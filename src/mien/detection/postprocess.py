"""From BlazeFace's raw answer to faces: anchors, decoding, and the suppression of double finds.

Faces travel between these functions as one float32 array (n, 17): left, top, right, bottom, the six
key points as x, y, and the confidence.

Source: MediaPipe's SsdAnchorsCalculator, TensorsToDetectionsCalculator and
NonMaxSuppressionCalculator (weighted), with the options of its face_detection_back graph.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Faces = NDArray[np.float32]

COLUMNS = 17
SCORE_CLIP = 80.0  # beyond it the sigmoid is 0 or 1; MediaPipe clips at 100, where float32 overflows
SAME_FACE_IOU = 0.3
# A find with this share of its box inside one of this many times its area is a part of that face.
PART_INSIDE, PART_AREA = 0.7, 1.5
# Anchors a cell, by the stride of the feature map: one layer at 16 and three at 32, two anchors each.
_ANCHORS_PER_CELL = ((16, 2), (32, 6))


def no_faces() -> Faces:
    """An array of no faces (0, 17)."""
    return np.zeros((0, COLUMNS), dtype=np.float32)


@lru_cache(maxsize=64)
def anchors(height: int, width: int) -> NDArray[np.float32]:
    """The centres (n, 2), x and y in pixels, of the anchors of an input; 896 for 256 by 256."""
    layers = []
    for stride, per_cell in _ANCHORS_PER_CELL:
        y, x = np.indices((height // stride, width // stride), dtype=np.float32)
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + np.float32(0.5)) * np.float32(stride)
        layers.append(np.repeat(centres, per_cell, axis=0))
    found = np.concatenate(layers)
    found.flags.writeable = False
    return found


def logit(probability: float) -> float:
    """The score whose sigmoid is `probability`; infinite at 0 and 1."""
    if not 0 < probability < 1:
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1 - probability))


def sigmoid(score: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """Scores as confidences in 0..1, clipped first so that nothing overflows."""
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -SCORE_CLIP, SCORE_CLIP))), dtype=np.float32)


def decode(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], size: tuple[int, int], least: float
) -> Faces:
    """The faces (n, 17) whose score is above the least one, in pixels of the input.

    Args:
        boxes: (anchors, 16), the offsets of centre, size and key points from the anchor.
        scores: (anchors, 1) logits.
        size: height and width of the input.
        least: the score, a logit, that a face must exceed.
    """
    chosen = np.flatnonzero(scores[:, 0] > least)
    if not len(chosen):
        return no_faces()
    raw = boxes[chosen]
    centres = anchors(*size)[chosen]
    faces = np.empty((len(chosen), COLUMNS), dtype=np.float32)
    middle, half = raw[:, :2] + centres, raw[:, 2:4] / 2
    faces[:, :2], faces[:, 2:4] = middle - half, middle + half
    faces[:, 4:16] = raw[:, 4:] + np.tile(centres, 6)
    faces[:, 16] = sigmoid(scores[chosen, 0])
    return faces[(half > 0).all(axis=1)]


def overlap(face: NDArray[np.float32], faces: Faces) -> NDArray[np.float32]:
    """Intersection over union (n,) of one face's box with others'."""
    low = np.maximum(face[:2], faces[:, :2])
    high = np.minimum(face[2:4], faces[:, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    own = (face[2:4] - face[:2]).prod()
    others = (faces[:, 2:4] - faces[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(own + others - shared, 1e-9), dtype=np.float32)


def merge(faces: Faces, threshold: float = SAME_FACE_IOU) -> Faces:
    """One row a face, the surest first.

    All finds that overlap the surest are averaged, weighted by their confidence; the row keeps the
    confidence of the surest.

    Source: Bazarevsky et al. 2019, section 3.4 (blending in place of suppression, for steady boxes).
    """
    left = faces[np.argsort(-faces[:, 16], kind="stable")]
    kept = []
    while len(left):
        same = overlap(left[0], left) > threshold
        same[0] = True
        group = left[same]
        blended = np.average(group, axis=0, weights=group[:, 16])
        blended[16] = group[0, 16]
        kept.append(blended)
        left = left[~same]
    return np.asarray(kept, dtype=np.float32).reshape(-1, COLUMNS)


def without_parts(faces: Faces) -> Faces:
    """The faces without those that are a part of another: an eye or a mouth, taken for a face.

    A part lies mostly inside the box of a surer and larger face.
    """
    area = (faces[:, 2:4] - faces[:, :2]).prod(axis=1)
    low = np.maximum(faces[:, None, :2], faces[None, :, :2])  # (n, n, 2)
    high = np.minimum(faces[:, None, 2:4], faces[None, :, 2:4])
    inside = np.clip(high - low, 0, None).prod(axis=2) / np.maximum(area[:, None], 1e-9)
    larger = area[None] > PART_AREA * area[:, None]
    surer = faces[None, :, 16] > faces[:, None, 16]
    part = ((inside > PART_INSIDE) & larger & surer).any(axis=1)
    return np.asarray(faces[~part])
