"""How well a model reads faces that are worse seen: curves of accuracy, and the limits that follow from them.

Faces of a split are made smaller, blurred, darker with a camera's noise, brighter, or cut off, by steps. For
each step the accuracy and the median of the number that describes it (`mien.images.quality`) are measured. A
limit is where a tenth of what the model gets right of the unchanged faces is lost, between two steps by a
straight line. How faces are turned cannot be changed: there the faces themselves are sorted by what the
detector sees, and the limit is where the rest beyond it is read so much worse, by more than chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mien.geometry import Detection, Detector
from mien.images.crop import FER2013_FRAMING, brightened
from mien.images.quality import quality_of, turn_of, warnings_of
from mien.models.card import Limits

# The share of what is right of unchanged faces that is kept at a limit.
_KEPT = 0.9
# Sides in pixels to which faces of 48 are reduced; blur, its standard deviation in pixels; light, a factor,
# darker with noise of a standard deviation in gray values, as cameras have; share of the face's box cut off.
_SIDES = (48, 40, 32, 24, 20, 16, 12, 8)
_BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
_DARKER, _NOISE = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03), 2.0
_BRIGHTER = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
_CUTS = (0.0, 0.1, 0.2, 0.3, 0.4)
# Faces beyond a limit of turning, at least.
_FEWEST = 30
# A face of 48 px is enlarged so many times for the detector, and has a border of so many pixels.
_ENLARGED, _BORDER = 4, 48

Faces = NDArray[np.uint8]


@dataclass(frozen=True)
class QualityCurve:
    """Accuracy along one way of seeing faces worse.

    Attributes:
        steps: what was done, in the order from the unchanged faces on.
        values: the median of the number that describes it.
        accuracy: the share of the faces that the model gets right.
        flagged: the share of the faces that are beyond a limit.
    """

    steps: tuple[float, ...]
    values: tuple[float, ...]
    accuracy: tuple[float, ...]
    flagged: tuple[float, ...]


@dataclass(frozen=True)
class QualityReport:
    """Curves and limits of a model.

    Attributes:
        n: faces in each step.
        accuracy: of the unchanged faces.
        limits: by name, the least and the most; None where there is none.
        curves: by what was done: ``size``, ``blur``, ``dark``, ``bright``, ``cut off``.
        turned: by ``yaw`` and ``pitch``, the faces beyond the limit and the model's accuracy on them; n 0 if
            there is no limit.
        flagged: by warning, its share of the unchanged faces as the detector finds them.
        n_found: those faces.
    """

    n: int
    accuracy: float
    limits: dict[str, tuple[float | None, float | None]]
    curves: dict[str, QualityCurve]
    turned: dict[str, dict[str, float]]
    flagged: dict[str, float]
    n_found: int


def measure_quality(
    right: Callable[[Faces, NDArray[np.intp]], NDArray[np.bool_]],
    faces: Faces,
    detector: Detector,
    generator: np.random.Generator,
    *,
    most: int = 1000,
) -> QualityReport:
    """Curves on at most `most` of the faces, uint8 (N, 48, 48), drawn at random, and limits; turning on all.

    `right` says for crops (n, 48, 48) of the faces of these rows (n,) which of them the model gets right.
    """
    rows = np.sort(generator.permutation(len(faces))[:most])
    chosen = faces[rows]
    noise = generator.normal(0, _NOISE, chosen.shape)
    changed: dict[str, tuple[str, Sequence[float], list[Faces]]] = {
        "size": ("size", _SIDES, [_smaller(chosen, side) for side in _SIDES]),
        "blur": ("sharpness", _BLURS, [_blurred(chosen, deviation) for deviation in _BLURS]),
        "dark": ("light", _DARKER, [_lit(chosen, factor, noise * (factor < 1)) for factor in _DARKER]),
        "bright": ("light", _BRIGHTER, [_lit(chosen, factor, 0 * noise) for factor in _BRIGHTER]),
        "cut off": ("cut_off", _CUTS, [_cut(chosen, share, generator) for share in _CUTS]),
    }
    values = {
        way: [_numbers(name, steps[i], each) for i, each in enumerate(crops)]
        for way, (name, steps, crops) in changed.items()
    }
    accuracy = {
        way: [float(right(_as_read(each), rows).mean()) for each in crops]
        for way, (_, _, crops) in changed.items()
    }
    whole = accuracy["blur"][0]
    ends = {
        way: _crossing([float(np.median(v)) for v in values[way]], accuracy[way], _KEPT * whole)
        for way in changed
    }
    limits: dict[str, tuple[float | None, float | None]] = {
        "size": (ends["size"], None),
        "sharpness": (ends["blur"], None),
        "light": (ends["dark"], ends["bright"]),
        "cut_off": (None, ends["cut off"]),
    }
    seen = [(found, i) for i, face in enumerate(faces) if (found := _seen(face, detector))]
    place_of = np.array([i for _, i in seen], np.intp)
    answers = right(_as_read(faces[place_of]), place_of) if seen else np.zeros(0, bool)
    turned: dict[str, dict[str, float]] = {}
    for place, name in ((1, "yaw"), (2, "pitch")):
        turns = [turn_of(each.keypoints)[place] for each, _ in seen]
        angles = np.array([math.nan if turn is None else turn for turn in turns])
        angles = np.abs(angles) if name == "yaw" else angles
        limit = _tail(angles, answers, _KEPT * whole)
        limits[name] = (None, limit)
        beyond = angles > (math.inf if limit is None else limit)
        turned[name] = {"n": float(beyond.sum())}
        if beyond.any():
            turned[name]["accuracy"] = float(answers[beyond].mean())
    curves = {}
    for way, (name, steps, _) in changed.items():
        outside = [float(np.mean([_outside(v, limits[name]) for v in each])) for each in values[way]]
        middle = tuple(float(np.median(each)) for each in values[way])
        curves[way] = QualityCurve(tuple(steps), middle, tuple(accuracy[way]), tuple(outside))
    return QualityReport(
        n=len(rows),
        accuracy=whole,
        limits=limits,
        curves=curves,
        turned=turned,
        flagged=_flagged([(found, faces[i]) for found, i in seen], limits),
        n_found=len(seen),
    )


def _as_read(faces: Faces) -> Faces:
    """The faces as the model gets them: dark ones made brighter."""
    return np.stack([brightened(face) for face in faces])


def _numbers(name: str, step: float, faces: Faces) -> list[float]:
    """The number of each face that the limit `name` is about."""
    if name == "size":
        return [step * math.sqrt(FER2013_FRAMING.width * FER2013_FRAMING.height)] * len(faces)
    if name == "cut_off":
        return [step] * len(faces)
    side = faces.shape[-1]
    whole = Detection((0.0, 0.0, float(side), float(side)), 1.0)
    return [float(getattr(quality_of(whole, face, side, side), name)) for face in faces]


def _outside(value: float, limits: tuple[float | None, float | None]) -> bool:
    least, most = limits
    return (least is not None and value < least) or (most is not None and value > most)


def _crossing(values: Sequence[float], accuracy: Sequence[float], wanted: float) -> float | None:
    """The value at which the accuracy falls below `wanted` for the first time; None if it never does."""
    for i in range(1, len(values)):
        if accuracy[i] < wanted <= accuracy[i - 1]:
            share = (accuracy[i - 1] - wanted) / (accuracy[i - 1] - accuracy[i])
            return round(values[i - 1] + share * (values[i] - values[i - 1]), 4)
    return None


def _tail(angles: NDArray[np.float64], right: NDArray[np.bool_], wanted: float) -> float | None:
    """The least angle, in whole degrees, beyond which less than `wanted` is right by a standard error.

    It holds beyond every larger angle with enough faces too.
    """
    limit = None
    for angle in range(80, 10, -1):
        beyond = angles > angle
        if (n := int(beyond.sum())) < _FEWEST:
            continue
        share = float(right[beyond].mean())
        if share + math.sqrt(share * (1 - share) / n) >= wanted:
            break
        limit = float(angle)
    return limit


def _seen(face: Faces, detector: Detector) -> Detection | None:
    """What the detector finds of one face, in pixels of the face."""
    side = face.shape[-1] * _ENLARGED
    large = np.pad(np.asarray(Image.fromarray(face).resize((side, side))), _BORDER, mode="edge")
    found = detector.detect(np.repeat(large[..., None], 3, axis=2))
    if not found:
        return None
    x, y, width, height = (
        (value - shift) / _ENLARGED
        for value, shift in zip(found[0].box, (_BORDER, _BORDER, 0, 0), strict=True)
    )
    points = found[0].keypoints
    if points is not None:
        points = ((points - _BORDER) / _ENLARGED).astype(np.float32)
    return Detection((x, y, width, height), found[0].confidence, points)


def _flagged(faces: Sequence[tuple[Detection, Faces]], limits: Limits) -> dict[str, float]:
    """By warning, its share of unchanged faces; how much the training images cut off is not counted."""
    counted: dict[str, int] = {}
    for detection, face in faces:
        side = 2 * face.shape[-1]
        for word in warnings_of(quality_of(detection, face, side, side), limits):
            counted[word] = counted.get(word, 0) + 1
    # Of no faces nothing was counted.
    return {word: count / len(faces) for word, count in sorted(counted.items()) if word != "cut off"}


def _smaller(faces: Faces, side: int) -> Faces:
    """Reduced to `side` pixels and enlarged again, as a small face in a photo is."""
    full = faces.shape[-1]
    if side == full:
        return faces
    return np.stack([
        np.asarray(Image.fromarray(face).resize((side, side), reducing_gap=3.0).resize((full, full)))
        for face in faces
    ])  # fmt: skip


def _blurred(faces: Faces, deviation: float) -> Faces:
    return np.stack([
        np.asarray(Image.fromarray(face).filter(ImageFilter.GaussianBlur(deviation))) for face in faces
    ])  # fmt: skip


def _lit(faces: Faces, factor: float, noise: NDArray[np.float64]) -> Faces:
    lit: Faces = np.clip(faces * factor + noise, 0, 255).round().astype(np.uint8)
    return lit


def _cut(faces: Faces, share: float, generator: np.random.Generator) -> Faces:
    """A share of each face's box outside of the image at one side, drawn at random: its edge is repeated."""
    f, side = FER2013_FRAMING, faces.shape[-1]
    cut = faces.copy()
    for face, edge in zip(cut, generator.integers(4, size=len(cut)), strict=True):
        low, extent = (f.x, f.width) if edge < 2 else (f.y, f.height)
        lines = face.T if edge < 2 else face  # along the axis that is cut
        if edge % 2 == 0:
            first = round((low + share * extent) * side)
            lines[:first] = lines[first]
        else:
            last = min(round((low + (1 - share) * extent) * side), side)
            lines[last:] = lines[last - 1]
    return cut
