"""Corruptions of a face in five strengths: blur, noise, JPEG, light, position.

Source: the kinds and the five strengths follow Hendrycks & Dietterich 2019, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations"; the levels are ours, chosen for faces of 48 pixels, where
theirs (for 224) leave nothing to see. Lengths scale with the face.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.images.gray import read_gray

Faces = NDArray[np.uint8]
Apply = Callable[[Faces, float, np.random.Generator], Faces]

# The face that lengths are given for.
_SIDE = 48


@dataclass(frozen=True)
class Corruption:
    """One kind of damage.

    Attributes:
        name: what it is called.
        what: what its levels are, with their unit.
        levels: five, from weak to strong.
        apply: from faces, uint8 (N, H, W), a level and a generator to faces of the same shape.
    """

    name: str
    what: str
    levels: tuple[float, float, float, float, float]
    apply: Apply


def blur(faces: Faces, level: float, generator: np.random.Generator) -> Faces:  # noqa: ARG001
    """A Gaussian of `level` pixels, reflected at the edges."""
    sigma = level * faces.shape[1] / _SIDE
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    soft = faces.astype(np.float64)
    for axis in (1, 2):
        edge = [(reach, reach) if i == axis else (0, 0) for i in range(3)]
        around = np.pad(soft, edge, mode="symmetric")
        n = soft.shape[axis]
        soft = sum(w * np.take(around, range(i, i + n), axis=axis) for i, w in enumerate(kernel))
    return _gray(soft)


def noise(faces: Faces, level: float, generator: np.random.Generator) -> Faces:
    """Gaussian noise of `level` gray levels on every pixel."""
    return _gray(faces + generator.normal(scale=level, size=faces.shape))


def jpeg(faces: Faces, level: float, generator: np.random.Generator) -> Faces:  # noqa: ARG001
    """Each face saved as JPEG of that quality and read again."""
    return np.stack([_through_jpeg(face, int(level)) for face in faces]) if len(faces) else faces


def brightness(faces: Faces, level: float, generator: np.random.Generator) -> Faces:
    """Brighter or darker, at random, by `level` gray levels."""
    sign = generator.choice((-1, 1), len(faces))[:, None, None]
    return _gray(faces + sign * level)


def contrast(faces: Faces, level: float, generator: np.random.Generator) -> Faces:  # noqa: ARG001
    """`level` times the contrast, around each face's mean."""
    mean = faces.mean(axis=(1, 2), keepdims=True)
    return _gray(mean + level * (faces - mean))


def occlusion(faces: Faces, level: float, generator: np.random.Generator) -> Faces:
    """A square of `level` of the side, anywhere in the face, in the face's mean gray."""
    n, height, width = faces.shape
    side = round(level * min(height, width))
    tops = generator.integers(0, height - side + 1, n)
    lefts = generator.integers(0, width - side + 1, n)
    hidden = faces.copy()
    for face, top, left in zip(hidden, tops, lefts, strict=True):
        face[top : top + side, left : left + side] = round(float(face.mean()))
    return hidden


def rotation(faces: Faces, level: float, generator: np.random.Generator) -> Faces:
    """Turned by `level` degrees to either side, at random; what comes into view is reflected."""
    n, height, width = faces.shape
    edge = max(height, width) // 2
    signs = generator.choice((-1, 1), n)
    turned = np.empty_like(faces)
    for i, (face, sign) in enumerate(zip(faces, signs, strict=True)):
        around = Image.fromarray(np.pad(face, edge, mode="symmetric"))
        whole = np.asarray(around.rotate(float(sign * level), Image.Resampling.BILINEAR))
        turned[i] = whole[edge : edge + height, edge : edge + width]
    return turned


def low_resolution(faces: Faces, level: float, generator: np.random.Generator) -> Faces:  # noqa: ARG001
    """Made `level` pixels wide by averaging, and enlarged again."""
    _, height, width = faces.shape
    small = max(1, round(level * height / _SIDE)), max(1, round(level * width / _SIDE))
    again = np.empty_like(faces)
    for i, face in enumerate(faces):
        reduced = Image.fromarray(face).resize(small[::-1], Image.Resampling.BOX)
        again[i] = np.asarray(reduced.resize((width, height), Image.Resampling.BILINEAR))
    return again


def shift(faces: Faces, level: float, generator: np.random.Generator) -> Faces:
    """The crop moved by `level` pixels in any of eight directions; what comes into view is reflected."""
    n, height, width = faces.shape
    far = round(level * height / _SIDE)
    ways = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)])
    moves = far + far * ways[generator.integers(0, len(ways), n)]
    around = np.pad(faces, ((0, 0), (far, far), (far, far)), mode="symmetric")
    moved = np.empty_like(faces)
    for i, (top, left) in enumerate(moves):
        moved[i] = around[i, top : top + height, left : left + width]
    return moved


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("blur", "Gaussian, px", (0.5, 1.0, 1.5, 2.0, 3.0), blur),
    Corruption("noise", "Gaussian, gray levels", (5, 10, 20, 35, 60), noise),
    Corruption("JPEG", "quality", (60, 30, 20, 10, 5), jpeg),
    Corruption("brightness", "± gray levels", (20, 40, 60, 80, 110), brightness),
    Corruption("contrast", "times", (0.7, 0.5, 0.35, 0.2, 0.1), contrast),
    Corruption("occlusion", "square, share of the side", (0.15, 0.25, 0.35, 0.45, 0.6), occlusion),
    Corruption("rotation", "± degrees", (8, 15, 25, 35, 50), rotation),
    Corruption("low resolution", "px wide", (32, 24, 16, 12, 8), low_resolution),
    Corruption("shift of the crop", "px", (2, 4, 6, 8, 12), shift),
)


def _gray(values: NDArray[np.float64]) -> Faces:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _through_jpeg(face: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(face).save(file, "JPEG", quality=quality)
    return read_gray(file.getvalue())
