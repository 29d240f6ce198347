"""Procedurally drawn faces: labelled data for machines without FER2013, and for tests.

The brows, eyes, nose and mouth carry one of FER2013's seven emotions, moved by the action units of its
prototype; the rest (who it is, pose, light, hair, glasses, grain) says nothing about it. Ten simulated
annotators vote on what they see, and disagree where an expression is weak or mixed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.data.synthetic.drawing import render
from mien.data.synthetic.expression import UNITS, Floats, mixed_units, vote
from mien.data.synthetic.geometry import evenly, people
from mien.data.table import FaceTable
from mien.emotions import FER2013, canonical
from mien.errors import UsageError

# A quarter of the faces mix in a second emotion.
_MIXED = 0.25
# How far single action units stray from their prototype.
_STRAY = 0.16


def faces(n: int = 3500, *, seed: int = 0, size: int = 48) -> FaceTable:
    """`n` drawn faces as a table: the same pixels, labels and votes for the same arguments.

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
        votes=vote(units, generator),
        source=f"synthetic faces (n={n}, seed={seed})",
    )


def draw_face(
    emotion: str,
    *,
    size: int = 48,
    generator: np.random.Generator | None = None,
    intensity: float = 1.0,
) -> NDArray[np.uint8]:
    """One drawn face, gray uint8 (size, size), such as to build a test photo with.

    Args:
        emotion: one of FER2013's seven, by any of its names.
        size: height and width in pixels, at least 16.
        generator: draws the person, pose and light; without one, it is always the same person.
        intensity: 0 (neutral) to 1 (the full prototype).

    Raises:
        UnknownEmotion: the name is no emotion.
        UsageError: it is none of the seven, or `size` or `intensity` is out of range.
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
    picture: NDArray[np.uint8] = render(people(1, generator), units, size, generator)[0]
    return picture


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
    """Action units (N, units): the labels' prototypes, some weak, some mixed, each a little astray."""
    n = len(labels)
    intensity = evenly(0.5, 1.0, n, generator)
    others = (labels + generator.integers(1, len(FER2013), n)) % len(FER2013)
    share = np.where(generator.random(n) < _MIXED, evenly(0.15, 0.42, n, generator), 0.0)
    units = mixed_units(labels, intensity, others, share)
    astray = evenly(-_STRAY, _STRAY, (n, len(UNITS)), generator)
    # Present units vary in strength; absent ones twitch a little.
    return np.clip(units * (1.0 + 2.0 * astray) + 0.5 * np.maximum(astray, 0.0), 0.0, 1.2)
