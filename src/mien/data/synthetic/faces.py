"""Procedurally drawn faces: labelled data for machines without FER2013, and for tests.

The brows, eyes, nose and mouth show one of FER2013's seven emotions, moved by the action units of its
prototype; all else (person, pose, light, hair, glasses, grain) is independent of it. Ten simulated annotators
vote on each face, and disagree where an expression is weak or mixed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.data.synthetic.drawing import render
from mien.data.synthetic.expression import UNITS, Floats, draw_votes, mixed_units
from mien.data.synthetic.geometry import people, uniform
from mien.data.table import FaceTable
from mien.emotions import FER2013, canonical
from mien.errors import UsageError

# A quarter of the faces mix in a second emotion.
_MIXED = 0.25
# How far single action units vary around their prototype.
_VARIATION = 0.16


def faces(n: int = 3500, *, seed: int = 0, size: int = 48) -> FaceTable:
    """`n` drawn faces as a table: the same arguments give the same pixels, labels and votes.

    The seven classes are balanced, in every split (FER2013's are not: 1.5 % of it is disgust, and a small
    table would have almost none). Splits: the last tenth is PrivateTest, the tenth before it PublicTest,
    the rest Training.

    Args:
        n: how many, at least 1. Below 3, all are Training.
        seed: of the random numbers.
        size: height and width in pixels, at least 16.

    Raises:
        UsageError: `n` or `size` is too small.
    """
    if n < 1:
        raise UsageError(f"n must be at least 1, not {n}.")
    _check_size(size)
    generator = np.random.default_rng(seed)
    splits = _splits(n)
    labels = _balanced(splits, generator)
    units = _expressions(labels, generator)
    return FaceTable(
        pixels=render(people(n, generator), units, size, generator),
        labels=labels,
        splits=splits,
        rows=np.arange(n, dtype=np.int64),
        votes=draw_votes(units, generator),
        source=f"synthetic faces (n={n}, seed={seed})",
    )


def draw_face(
    emotion: str,
    *,
    size: int = 48,
    generator: np.random.Generator | None = None,
    intensity: float = 1.0,
) -> NDArray[np.uint8]:
    """One drawn face, gray uint8 (size, size), e.g. to build a test photo.

    Args:
        emotion: one of FER2013's seven, by any of its names.
        size: height and width in pixels, at least 16.
        generator: of the person, pose and light; without one, the person is always the same.
        intensity: 0 (neutral) to 1 (the full prototype).

    Raises:
        UnknownEmotion: the name is not an emotion.
        UsageError: it is not one of the seven, or `size` or `intensity` is out of range.
    """
    name = canonical(emotion)
    if name not in FER2013:
        raise UsageError(f"A synthetic face cannot show {name!r}. It can show: {', '.join(FER2013)}.")
    if not 0.0 <= intensity <= 1.0:
        raise UsageError(f"intensity must be from 0 to 1, not {intensity}.")
    _check_size(size)
    generator = np.random.default_rng(0) if generator is None else generator
    label = np.array([FER2013.index(name)])
    units = mixed_units(label, np.array([intensity]), label, np.zeros(1))
    face: NDArray[np.uint8] = render(people(1, generator), units, size, generator)[0]
    return face


def _check_size(size: int) -> None:
    if size < 16:
        raise UsageError(f"size must be at least 16 pixels to draw a face in, not {size}.")


def _splits(n: int) -> NDArray[np.str_]:
    tenth = max(1, round(n / 10)) if n >= 3 else 0
    names = ["Training"] * (n - 2 * tenth) + ["PublicTest"] * tenth + ["PrivateTest"] * tenth
    return np.array(names, dtype=np.str_)


def _balanced(splits: NDArray[np.str_], generator: np.random.Generator) -> NDArray[np.int64]:
    """Labels that take turns, shuffled within each split."""
    labels = np.arange(len(splits), dtype=np.int64) % len(FER2013)
    for name in np.unique(splits):
        members = np.flatnonzero(splits == name)
        labels[members] = generator.permutation(labels[members])
    return labels


def _expressions(labels: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    """Action units (N, units): the labels' prototypes, some weak, some mixed, all varied a little."""
    n = len(labels)
    intensity = uniform(0.5, 1.0, n, generator)
    others = (labels + generator.integers(1, len(FER2013), n)) % len(FER2013)
    share = np.where(generator.random(n) < _MIXED, uniform(0.15, 0.42, n, generator), 0.0)
    units = mixed_units(labels, intensity, others, share)
    variation = uniform(-_VARIATION, _VARIATION, (n, len(UNITS)), generator)
    # Present units vary in strength; absent ones move a little.
    return np.clip(units * (1.0 + 2.0 * variation) + 0.5 * np.maximum(variation, 0.0), 0.0, 1.2)
