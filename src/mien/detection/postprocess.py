"""From BlazeFace's raw output to faces: anchors, decoding, and merging of repeated detections.

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

FaceRows = NDArray[np.float32]

COLUMNS = 17
SCORE_CLIP = 80.0  # beyond it the sigmoid is 0 or 1; MediaPipe clips at 100, where float32 overflows
SAME_FACE_IOU = 0.3
# A detection with this share of its box inside one of this many times its area is a part of that face.
PART_INSIDE, PART_AREA = 0.7, 1.5
# Anchors per cell, by the stride of the feature map: one layer at 16 and three at 32, two anchors each.
_ANCHORS_PER_CELL = ((16, 2), (32, 6))


def no_faces() -> FaceRows:
    """An array of no faces (0, 17)."""
    return np.zeros((0, COLUMNS), dtype=np.float32)


@lru_cache(maxsize=64)
def anchors(height: int, width: int) -> NDArray[np.float32]:
    """The centres (n, 2), x and y in pixels, of the anchors of an input; 896 for 256 by 256."""
    layers = []
    for stride, per_cell in _ANCHORS_PER_CELL:
        y, x = np.indices((height // stride, width // stride), dtype=np.float32)
        cells = (np.stack([x, y], axis=-1).reshape(-1, 2) + np.float32(0.5)) * np.float32(stride)
        layers.append(np.repeat(cells, per_cell, axis=0))
    centres = np.concatenate(layers)
    centres.flags.writeable = False
    return centres


def logit(probability: float) -> float:
    """The score whose sigmoid is `probability`; infinite at 0 and 1."""
    if not 0 < probability < 1:
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1 - probability))


def sigmoid(score: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """Scores as confidences in 0..1, clipped first so that nothing overflows."""
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -SCORE_CLIP, SCORE_CLIP))), dtype=np.float32)


def decode(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], size: tuple[int, int], threshold: float
) -> FaceRows:
    """The faces (n, 17) whose score is above the threshold, in pixels of the input.

    Args:
        boxes: (anchors, 16), the offsets of centre, size and key points from the anchor.
        scores: (anchors, 1) logits.
        size: height and width of the input.
        threshold: the score, a logit, that a face must exceed.
    """
    chosen = np.flatnonzero(scores[:, 0] > threshold)
    if not len(chosen):
        return no_faces()
    faces = face_rows(boxes[chosen], anchors(*size)[chosen], scores[chosen, 0])
    return faces[(faces[:, 2:4] > faces[:, :2]).all(axis=1)]


def face_rows(
    boxes: NDArray[np.float32], centres: NDArray[np.float32], scores: NDArray[np.float32]
) -> FaceRows:
    """Faces (n, 17) of the network's boxes (n, 16), their anchors' centres (n, 2) and their scores (n,)."""
    faces = np.empty((len(boxes), COLUMNS), dtype=np.float32)
    middle, half = boxes[:, :2] + centres, boxes[:, 2:4] / 2
    faces[:, :2], faces[:, 2:4] = middle - half, middle + half
    faces[:, 4:16] = boxes[:, 4:] + np.tile(centres, 6)
    faces[:, 16] = sigmoid(scores)
    return faces


def _areas(faces: FaceRows) -> NDArray[np.float32]:
    """The areas of boxes (n,)."""
    return np.asarray((faces[:, 2:4] - faces[:, :2]).prod(axis=1))


def _intersections(faces: FaceRows, others: FaceRows) -> NDArray[np.float32]:
    """The areas (n, m) that each of n boxes shares with each of m others."""
    low = np.maximum(faces[:, None, :2], others[None, :, :2])  # (n, m, 2)
    high = np.minimum(faces[:, None, 2:4], others[None, :, 2:4])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2))


def iou_with(face: NDArray[np.float32], faces: FaceRows) -> NDArray[np.float32]:
    """Intersection over union (n,) of one face's box with each of n others."""
    shared = _intersections(face[None], faces)[0]
    union = _areas(face[None])[0] + _areas(faces) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), dtype=np.float32)


def merge(faces: FaceRows, threshold: float = SAME_FACE_IOU) -> FaceRows:
    """One row per face, the most confident first.

    All detections that overlap the most confident one are averaged, weighted by their confidence; the row
    keeps the highest confidence.

    Source: Bazarevsky et al. 2019, section 3.4 (blending in place of suppression, for steady boxes).
    """
    left = faces[np.argsort(-faces[:, 16], kind="stable")]
    kept = []
    while len(left):
        same = iou_with(left[0], left) > threshold
        same[0] = True
        group = left[same]
        blended = np.average(group, axis=0, weights=group[:, 16])
        blended[16] = group[0, 16]
        kept.append(blended)
        left = left[~same]
    return np.asarray(kept, dtype=np.float32).reshape(-1, COLUMNS)


def without_parts(faces: FaceRows) -> FaceRows:
    """The faces without those that are a part of another: an eye or a mouth, mistaken for a face.

    A part lies mostly inside the box of a more confident and larger face.
    """
    area = _areas(faces)
    inside = _intersections(faces, faces) / np.maximum(area[:, None], 1e-9)
    larger = area[None] > PART_AREA * area[:, None]
    more_confident = faces[None, :, 16] > faces[:, None, 16]
    part = ((inside > PART_INSIDE) & larger & more_confident).any(axis=1)
    return np.asarray(faces[~part])
