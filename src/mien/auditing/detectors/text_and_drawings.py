"""Text on images, and images that are drawings: found from the pixels alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.auditing.detectors.outliers import BLANK, FEWEST, LISTED, NOT_A_FACE
from mien.auditing.findings import Finding, make_finding
from mien.auditing.inputs import TablePredictions
from mien.data.table import FaceTable

# Letters of a word on a 48 px face are 5 to 9 px tall, and a part of it as wide as this has several strokes.
_TALL = (5, 7, 9)
_WIDE = 15
_STEP = 3
# The rows above and below a word, which are quieter than it; those of hair, stripes and drawings are not.
_BESIDE = 3
# A larger difference from both sides does not make a stroke more likely.
_STRONG = 60
# Up to the first difference, neighbours are one flat colour; from the second on they are an edge. Between lie
# the shades that a photo has and a drawing lacks.
_FLAT, _EDGE = 2, 40
_SHADES = (4, 25)
# Only the middle is measured, because photos are often cut out before one plain colour.
_MIDDLE = 2 / 3
_BLOCK = 2048

Floats = NDArray[np.float32]


def find_text(table: FaceTable) -> Iterator[Finding]:
    """Images with text on them: captions, watermarks, numbers; none where there are too few faces to compare.

    The score is that of `text_score`.
    """
    if len(table) < FEWEST or min(table.pixels.shape[1:]) < _WIDE + 2:
        return
    score, where = text_score(table.pixels)
    score[~_not_blank(table)] = -np.inf
    for index in np.argsort(-score, kind="stable")[: int(len(table) * LISTED)]:
        if np.isfinite(score[index]):
            top, left = where[index]
            evidence = (
                f"a row of fine upright strokes at x {left}, y {top}, between quieter rows, "
                f"{score[index]:.1f} standard deviations above the other faces there"
            )
            yield make_finding(table, index, "text", score[index], evidence)


def find_drawings(table: FaceTable, predictions: TablePredictions | None = None) -> Iterator[Finding]:
    """Faces that are drawings, not photos; the score is `drawing_score`'s, 0-1. None where there are too few.

    Images that a model predicts as not a face, such as signs and lines of text, are left out.
    """
    if len(table) < FEWEST:
        return
    score, flat, edges = drawing_score(table.pixels)
    score[~_not_blank(table)] = 0
    if predictions is not None and NOT_A_FACE in predictions.labels:
        score[predictions.probabilities[:, predictions.labels.index(NOT_A_FACE)] >= 0.5] = 0
    for index in np.argsort(-score, kind="stable")[: int(len(table) * LISTED)]:
        if score[index] > 0:
            evidence = (
                f"{flat[index]:.0%} of the middle is flat and {edges[index]:.0%} is hard edge, "
                "with few shades between"
            )
            yield make_finding(table, index, "drawing", score[index], evidence)


def text_score(faces: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.intp]]:
    """How much the most text-like place of each face stands out, (N,), and that place, (N, 2) as y, x.

    Text is a low band of strokes one pixel wide between rows that have fewer. How much more the band has
    is counted in standard deviations of what all the faces have at that place, so that eyes, teeth and
    fringes, which lie where they lie in others too, do not count.
    """
    best = np.full(len(faces), -np.inf, np.float32)
    where = np.zeros((len(faces), 2), np.intp)
    sums = np.concatenate(
        [_stroke_sums(faces[start : start + _BLOCK]) for start in range(0, len(faces), _BLOCK)]
    )
    for tall in _TALL:
        apart = _more_than_beside(sums, tall)
        spread = apart.std(axis=0)
        apart = (apart - apart.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
        flat = apart.reshape(len(faces), -1)
        place = flat.argmax(axis=1)
        mine = flat[np.arange(len(faces)), place]
        y, x = np.divmod(place, apart.shape[2])
        better = mine > best
        best[better] = mine[better]
        where[better] = np.stack([y, x * _STEP], axis=1)[better]
    return best, where


def _stroke_sums(faces: NDArray[np.uint8]) -> Floats:
    """Strength of fine upright strokes in all rows above a row and `_WIDE` columns, (N, H + 1, columns)."""
    gray = faces.astype(np.int16)
    left, right = gray[:, :, 1:-1] - gray[:, :, :-2], gray[:, :, 1:-1] - gray[:, :, 2:]
    # A pixel of a stroke is lighter, or darker, than both of its neighbours.
    strength = np.where(left * right > 0, np.minimum(np.abs(left), np.abs(right)), 0)
    strokes = np.sqrt(np.minimum(strength, _STRONG).astype(np.float32))
    sums = np.cumsum(np.cumsum(np.pad(strokes, ((0, 0), (1, 0), (1, 0))), axis=1), axis=2)
    columns = np.arange(0, strokes.shape[2] - _WIDE + 1, _STEP)
    found: Floats = sums[:, :, columns + _WIDE] - sums[:, :, columns]
    return found


def _more_than_beside(sums: Floats, tall: int) -> Floats:
    """Mean stroke strength of bands `tall` rows high, less that of the stronger of the bands beside them."""
    bottom = sums.shape[1] - 1
    y = np.arange(bottom - tall + 1)
    above, below = np.maximum(y - _BESIDE, 0), np.minimum(y + tall + _BESIDE, bottom)

    def mean(start: NDArray[np.intp], stop: NDArray[np.intp]) -> Floats:
        rows = np.maximum(stop - start, 1)[None, :, None]
        band: Floats = (sums[:, stop] - sums[:, start]) / (rows * np.float32(_WIDE))
        return band.astype(np.float32)

    return mean(y, y + tall) - np.maximum(mean(above, y), mean(y + tall, below))


def drawing_score(faces: NDArray[np.uint8]) -> tuple[Floats, Floats, Floats]:
    """How much each face resembles a drawing, (N,), 0-1, and the flat and the hard-edged share of its middle.

    A drawing is flat between hard edges: the root of the product of both shares, less for each shade
    between.
    """
    n, height, width = faces.shape
    y, x = round(height * (1 - _MIDDLE) / 2), round(width * (1 - _MIDDLE) / 2)
    parts = np.zeros((n, 3), np.float32)
    for start in range(0, n, _BLOCK):
        middle = faces[start : start + _BLOCK, y : height - y, x : width - x].astype(np.int16)
        down = np.abs(middle[:, 1:, :-1] - middle[:, :-1, :-1])
        right = np.abs(middle[:, :-1, 1:] - middle[:, :-1, :-1])
        step = np.maximum(down, right)
        masks = (step <= _FLAT, step >= _EDGE, (step > _SHADES[0]) & (step < _SHADES[1]))
        parts[start : start + _BLOCK] = np.stack([mask.mean(axis=(1, 2)) for mask in masks], axis=1)
    flat, edges, shades = parts.T
    return np.sqrt(flat * edges) * (1 - shades), flat, edges


def _not_blank(table: FaceTable) -> NDArray[np.bool_]:
    """A mask (N,) of the images that are not blank."""
    shows: NDArray[np.bool_] = table.pixels.reshape(len(table), -1).std(axis=1) >= BLANK
    return shows
