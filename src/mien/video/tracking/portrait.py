"""What a person looks like in one frame: the texture of the face, and the colours of hair and clothes.

No network and no data stand behind it, so it is free for any use, and it recognizes nobody beyond the clips
at hand. How often it confuses people is in docs/video.md.

Source: Heikkilä, Pietikäinen and Schmid 2009, "Description of interest regions with local binary patterns",
for the texture; the Bhattacharyya coefficient of two histograms for their likeness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.geometry import Box

# The crop's side, cells across and patterns of each cell; a difference below so many grey levels is noise.
_SIDE, _CELLS, _PATTERNS, _NOISE = 48, 6, 16, 3
_TEXTURE = _CELLS * _CELLS * _PATTERNS
# Bins of luma and of either chroma, and how many pixels across a region are looked at.
_LUMA, _CHROMA, _SAMPLES = 4, 8, 16
_COLOURS = _LUMA * _CHROMA * _CHROMA
SIZE = _TEXTURE + 2 * _COLOURS
# Regions as shares of the face's box: left, top, right, bottom. A region counts if half of it is in view.
_CROP = (-0.08, -0.19, 1.08, 0.98)  # how the crop lies about the box, see `FER2013_FRAMING`
_HAIR, _CLOTHES = (-0.25, -0.55, 1.25, 0.1), (-0.6, 1.25, 1.6, 2.0)
_INSIDE = 0.5
_LEAST_CELLS = 18  # so many cells of two faces must be seen in both for a comparison
# The likeness: weights, where a part speaks neither for one person nor for two, and the least and the most
# that colours say: other light changes them, and other people wear them too.
_TEXTURE_WEIGHT, _TEXTURE_EVEN = 12.0, 0.42
_COLOUR_WEIGHT, _COLOUR_EVEN, _COLOUR_RANGE = 25.0, 0.94, (-2.0, 0.25)

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A face's look, ready to be compared.

    Attributes:
        raw: uint8 (SIZE,): square roots of histograms, 255 for 1; what a log keeps. Zeros: out of the frame.
        texture: float32 (36, 16): by how much each cell of the face differs from the mean of many faces.
        seen: bool (36,): the cells that are in the frame.
        hair, clothes: float32 of length 1; zeros where too little of them is in the frame.
    """

    raw: NDArray[np.uint8]
    texture: Values
    seen: NDArray[np.bool_]
    hair: Values
    clothes: Values


def portrait_of(crop: NDArray[np.uint8], frame_rgb: NDArray[np.uint8], box: Box) -> Portrait:
    """The portrait of a face.

    Args:
        crop: the face as the model gets it, gray uint8 (S, S).
        frame_rgb: the frame, uint8 RGB (H, W, 3), at any scale.
        box: the face's box in pixels of `frame_rgb`.
    """
    texture = texture_roots(crop) * _in_frame(frame_rgb, box)[:, None]
    colours = [_colours(frame_rgb, box, region) for region in (_HAIR, _CLOTHES)]
    roots = np.concatenate([texture.ravel(), *colours])
    return portrait_from(np.round(255 * roots).astype(np.uint8))


def portrait_from(raw: NDArray[np.uint8]) -> Portrait:
    """The portrait whose `raw` values these are."""
    values = raw.astype(np.float32)
    texture, hair, clothes = values[:_TEXTURE], values[_TEXTURE:-_COLOURS], values[-_COLOURS:]
    cells = texture.reshape(-1, _PATTERNS)
    seen = np.asarray(cells.any(axis=1))
    return Portrait(raw, (cells - mean_texture()) * seen[:, None], seen, unit(hair), unit(clothes))


def alike(a: Portrait, b: Portrait) -> float:
    """The correlation of two faces' textures where both are in the frame, -1 to 1; 0 for too little."""
    both = a.seen & b.seen
    if np.count_nonzero(both) < _LEAST_CELLS:
        return 0.0
    one, other = a.texture[both].ravel(), b.texture[both].ravel()
    return float(one @ other) / max(float(_length(one) * _length(other)), 1e-6)


def likeness(a: Portrait, b: Portrait) -> float:
    """How likely two portraits show one person, against two people: about the log of the odds.

    What is out of the frame in one of them says nothing.
    """
    common = np.count_nonzero(a.seen & b.seen)
    weight = _TEXTURE_WEIGHT * common / a.seen.size if common >= _LEAST_CELLS else 0.0
    score = weight * (alike(a, b) - _TEXTURE_EVEN)
    for one, other in ((a.hair, b.hair), (a.clothes, b.clothes)):
        if one.any() and other.any():
            least, most = _COLOUR_RANGE
            score += min(max(_COLOUR_WEIGHT * (float(one @ other) - _COLOUR_EVEN), least), most)
    return score


@cache
def mean_texture() -> Values:
    """What all faces share, (36, 16): the mean texture of 2,871 faces, see scripts/measure_texture.py."""
    file = files("mien.video.tracking").joinpath("mean_texture.npy")
    with file.open("rb") as opened:
        return np.asarray(np.load(opened), np.float32).reshape(-1, _PATTERNS)


def texture_roots(crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Square roots of the shares of 16 patterns in each of 6 x 6 cells of a crop, (36, 16)."""
    if crop.shape != (_SIDE, _SIDE):
        crop = np.asarray(Image.fromarray(crop).resize((_SIDE, _SIDE), Image.Resampling.BOX))
    a = crop.astype(np.int16)
    pairs = (
        (a[:-2, :-2], a[2:, 2:]),
        (a[:-2, 1:-1], a[2:, 1:-1]),
        (a[:-2, 2:], a[2:, :-2]),
        (a[1:-1, 2:], a[1:-1, :-2]),
    )
    pattern = sum(((one - other) > _NOISE).astype(np.int64) << bit for bit, (one, other) in enumerate(pairs))
    inner = _SIDE - 2
    cell = np.arange(inner) * _CELLS // inner
    bins = (cell[:, None] * _CELLS + cell) * _PATTERNS + pattern
    counts = np.bincount(bins.ravel(), minlength=_TEXTURE).reshape(-1, _PATTERNS)
    roots: NDArray[np.float64] = np.sqrt(counts / counts.sum(axis=1, keepdims=True))
    return roots


def _in_frame(frame_rgb: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
    """Which of the 36 cells of a face's crop have their middle in the frame."""
    x, y, width, height = box
    share = (np.arange(_CELLS) + 0.5) / _CELLS
    rows = y + height * (_CROP[1] + share * (_CROP[3] - _CROP[1]))
    columns = x + width * (_CROP[0] + share * (_CROP[2] - _CROP[0]))
    inside: NDArray[np.bool_] = ((rows >= 0) & (rows < frame_rgb.shape[0]))[:, None] & (
        (columns >= 0) & (columns < frame_rgb.shape[1])
    )
    return inside.ravel()


def _colours(frame_rgb: NDArray[np.uint8], box: Box, region: Box) -> NDArray[np.float64]:
    """Square roots of the shares of 4 x 8 x 8 colours in a region; zeros where it is out of the frame."""
    x, y, width, height = box
    rows = np.linspace(y + region[1] * height, y + region[3] * height, _SAMPLES).astype(int)
    columns = np.linspace(x + region[0] * width, x + region[2] * width, _SAMPLES).astype(int)
    rows = rows[(rows >= 0) & (rows < frame_rgb.shape[0])]
    columns = columns[(columns >= 0) & (columns < frame_rgb.shape[1])]
    if len(rows) * len(columns) < _INSIDE * _SAMPLES**2:
        return np.zeros(_COLOURS)
    red, _, blue = pixels = frame_rgb[np.ix_(rows, columns)].reshape(-1, 3).T.astype(np.float64)
    luma = np.array([0.299, 0.587, 0.114]) @ pixels
    at = [luma / 64, (blue - luma) * 0.564 / 16 + _CHROMA / 2, (red - luma) * 0.713 / 16 + _CHROMA / 2]
    return np.sqrt(_spread(at) / len(luma))


def _spread(at: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Counts, each sample shared by the two nearest bins of each axis, so that a border matters little."""
    bins, weights = np.zeros((1, 1), int), np.ones((1, 1))
    for values, size in zip(at, (_LUMA, _CHROMA, _CHROMA), strict=True):
        place = np.clip(values - 0.5, 0, size - 1.0001)
        low = place.astype(int)
        share = place - low
        bins = np.concatenate([bins * size + low, bins * size + low + 1])
        weights = np.concatenate([weights * (1 - share), weights * share])
    return np.bincount(bins.ravel(), weights.ravel(), minlength=_COLOURS).astype(np.float64)


def unit(values: Values) -> Values:
    """Values (N,) scaled to length 1; zeros stay."""
    length = _length(values)
    return values / length if length > 1e-6 else np.zeros_like(values)


def _length(values: Values) -> np.float32:
    """What `np.linalg.norm` gives for float32, in a fifth of the time."""
    return np.float32(np.sqrt(values.dot(values)))
