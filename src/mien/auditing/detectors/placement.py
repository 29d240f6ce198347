"""Faces that are cut by the edge of their image, or that fill little of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.auditing.findings import Finding, make_finding
from mien.data.table import FaceTable
from mien.detection.single_face import SingleFaces
from mien.geometry import KEYPOINTS

# The parts of a face that show an expression; ears may lie outside.
_NEEDED = ("right eye", "left eye", "nose", "mouth")
# Below these confidences the key points are unreliable; such an image may show no face.
_CUT_CONFIDENCE, _TINY_CONFIDENCE = 0.3, 0.5
# Share of the image's width below which a face is tiny. FER2013's median is 0.86, and its
# lower quartile is 0.78 (`mien.images.crop`).
TINY = 0.55


def find_cut(table: FaceTable, faces: SingleFaces | None) -> Iterator[Finding]:
    """Faces of which an eye, the nose or the mouth lies beyond the image's edge; none without `faces`.

    The score is the distance beyond the edge, as a share of the image's side.
    """
    if faces is None:
        return
    height, width = table.pixels.shape[1:]
    points = faces.keypoints[:, [KEYPOINTS.index(name) for name in _NEEDED]]  # (N, 4, 2)
    x, y = points[..., 0] / width, points[..., 1] / height
    beyond = np.stack([-x, x - 1, -y, y - 1], axis=2).reshape(len(table), -1)
    worst = beyond.argmax(axis=1)
    score = beyond[np.arange(len(table)), worst]
    indices = np.flatnonzero((score > 0) & (faces.confidence >= _CUT_CONFIDENCE))
    for index in indices[np.argsort(-score[indices], kind="stable")]:
        part, edge = divmod(int(worst[index]), 4)
        side = ("left", "right", "upper", "lower")[edge]
        pixels = score[index] * (width if edge < 2 else height)
        evidence = f"the {_NEEDED[part]} lies {pixels:.0f} px beyond the {side} edge"
        yield make_finding(table, index, "cut face", score[index], evidence)


def find_tiny(table: FaceTable, faces: SingleFaces | None) -> Iterator[Finding]:
    """Faces that fill little of their image, the smallest first; none without `faces`.

    The score is the share of the image's side that is left.
    """
    if faces is None:
        return
    share = faces.boxes[:, 2:].max(axis=1) / max(table.pixels.shape[1:])
    indices = np.flatnonzero((share < TINY) & (faces.confidence >= _TINY_CONFIDENCE))
    for index in indices[np.argsort(share[indices], kind="stable")]:
        evidence = f"the face fills {share[index]:.0%} of the image's width"
        yield make_finding(table, index, "tiny face", 1 - share[index], evidence)
