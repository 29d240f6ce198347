"""Faces that lie badly in their picture: cut by its edge, or so small that they fill little of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.auditing.findings import Finding, make_finding
from mien.data.table import FaceTable
from mien.detection.single_face import SingleFaces
from mien.geometry import KEYPOINTS

# The parts of a face that an expression is read from; ears may lie outside.
_NEEDED = ("right eye", "left eye", "nose", "mouth")
# A detector less sure than that does not know where the parts are; such a picture may show no face.
SURE_CUT, SURE_SMALL = 0.3, 0.5
# Share of the picture's width below which a face is small. FER2013's are 0.86 in the middle, and its
# lower quartile is 0.78 (`mien.images.crop`).
SMALL = 0.55


def find_cut(table: FaceTable, faces: SingleFaces) -> Iterator[Finding]:
    """Faces of which an eye, the nose or the mouth lies at or beyond the picture's edge.

    The score is how far beyond, as a share of the picture's side.
    """
    height, width = table.pixels.shape[1:]
    points = faces.keypoints[:, [KEYPOINTS.index(name) for name in _NEEDED]]  # (N, 4, 2)
    x, y = points[..., 0] / width, points[..., 1] / height
    beyond = np.stack([-x, x - 1, -y, y - 1], axis=2).reshape(len(table), -1)
    worst = beyond.argmax(axis=1)
    score = beyond[np.arange(len(table)), worst]
    places = np.flatnonzero((score > 0) & (faces.confidence >= SURE_CUT))
    for place in places[np.argsort(-score[places], kind="stable")]:
        part, edge = divmod(int(worst[place]), 4)
        side = ("left", "right", "upper", "lower")[edge]
        pixels = score[place] * (width if edge < 2 else height)
        said = f"the {_NEEDED[part]} lies {pixels:.0f} px beyond the {side} edge"
        yield make_finding(table, place, "cut face", score[place], said)


def find_tiny(table: FaceTable, faces: SingleFaces) -> Iterator[Finding]:
    """Faces that take little of their picture, smallest first; the score is the share that they leave."""
    share = faces.boxes[:, 2:].max(axis=1) / max(table.pixels.shape[1:])
    places = np.flatnonzero((share < SMALL) & (faces.confidence >= SURE_SMALL))
    for place in places[np.argsort(share[places], kind="stable")]:
        said = f"the face takes {share[place]:.0%} of the picture's width"
        yield make_finding(table, place, "tiny face", 1 - share[place], said)
