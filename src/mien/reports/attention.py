"""Which part of faces answers rest on: maps of heat, their mean by emotion, and whether they are true.

The maps come from elsewhere (`mien.training.gradcam`), so that nothing here needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.emotions import NEITHER, binary_task
from mien.errors import UsageError
from mien.evaluation.predictions import truth_of
from mien.reports.document import Part
from mien.reports.figures import attention as drawing

Maps = NDArray[np.float32]
Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

_EXAMPLES = 4
_MISTAKES = 12
# The share of a face that is painted over to see what it was worth.
PAINTED = 0.2


class Reasoned(Protocol):
    """The answers to N faces: probabilities (N, C), the K likeliest columns (N, K), maps (N, K, S, S)."""

    @property
    def probabilities(self) -> NDArray[np.float32]: ...

    @property
    def ranked(self) -> NDArray[np.int64]: ...

    @property
    def maps(self) -> Maps: ...


class Reasoner(Protocol):
    """A model that says what it looks at, as `mien.training.explainer.Explainer` does."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def layer(self) -> str: ...

    @property
    def cells(self) -> int: ...

    def explain(
        self, crops: NDArray[np.uint8], *, most: int = 1, progress: Callable[[int], None] = lambda _: None
    ) -> Reasoned:
        """What it answers to gray faces, uint8 (N, S, S), and why."""
        ...


@dataclass(frozen=True, eq=False)
class Explained:
    """N faces, what a network answered, and where in them it saw that.

    Attributes:
        model: its name.
        classes: the names of its answers.
        crops: uint8 (N, S, S).
        rows: (N,) their rows in the source.
        truth, answers: (N,) indices into `classes`.
        confidence: (N,) probability of the answer.
        maps: float32 (N, S, S), 0 to 1: what speaks for the answer.
        layer, cells: the layer that was looked at, and the side of its maps.
    """

    model: str
    classes: tuple[str, ...]
    crops: NDArray[np.uint8]
    rows: NDArray[np.int64]
    truth: NDArray[np.int64]
    answers: NDArray[np.int64]
    confidence: NDArray[np.float32]
    maps: Maps
    layer: str
    cells: int


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean map of the faces of one emotion that were named right, over their mean face.

    Attributes:
        faces: how many.
        face, heat: (S, S), grays 0-255 and 0 to 1.
        upper: the share of the heat in the upper half, where eyes and brows are.
    """

    faces: int
    face: NDArray[np.float64]
    heat: NDArray[np.float64]
    upper: float


@dataclass(frozen=True)
class Reliance:
    """What painting a fifth of each face gray did to the probability of the answer: its mean, 0 to 1.

    If the maps say what the answer rests on, the hottest fifth costs most, the coldest least, and the fifth
    that is hottest in another face's map less than the face's own.

    Attributes:
        faces: how many were tried.
        whole: with nothing painted.
        hottest, coldest: with that fifth of the face's own map painted.
        other: with the hottest fifth of another face's map painted.
    """

    faces: int
    whole: float
    hottest: float
    other: float
    coldest: float


def explain_faces(
    asked: Reasoner,
    faces: FaceTable,
    *,
    name: str,
    head: str = "fer2013",
    most: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Explained:
    """What a model answers to labelled faces, and why.

    Args:
        asked: the model.
        faces: those without a label, or of a class that the head does not answer, are left out.
        name: of the model.
        head: ``"fer2013"``, ``"votes"``, or the name of a binary framing.
        most: where there are more faces, so many are drawn from them.
        seed: of that draw.
        progress: called with a number of faces.

    Raises:
        UsageError: no face has a label that the head knows.
    """
    table, truth, classes, _ = truth_of(faces, "fer2013")
    columns = np.array(_columns(asked.classes, head, classes))
    known = np.flatnonzero(columns[truth] >= 0)
    if not len(known):
        raise UsageError(f"no face of {faces.source} is of a class that {name} answers with.")
    chosen = np.sort(np.random.default_rng(seed).permutation(known)[:most])
    table = table.take(chosen)
    reasons = asked.explain(table.pixels, progress=progress)
    answers = reasons.ranked[:, 0]
    return Explained(
        model=name,
        classes=asked.classes,
        crops=table.pixels,
        rows=table.rows,
        truth=columns[truth[chosen]],
        answers=answers,
        confidence=reasons.probabilities[np.arange(len(table)), answers],
        maps=reasons.maps[:, 0],
        layer=asked.layer,
        cells=asked.cells,
    )


def first(explained: Explained, most: int) -> Explained:
    """The first so many faces of them."""
    columns = ("crops", "rows", "truth", "answers", "confidence", "maps")
    return replace(explained, **{name: getattr(explained, name)[:most] for name in columns})


def _columns(answers: tuple[str, ...], head: str, classes: tuple[str, ...]) -> list[int]:
    """The column of the head that each class of the data belongs to; -1 where there is none."""
    if head in ("fer2013", "votes"):
        return [answers.index(name) if name in answers else NEITHER for name in classes]
    return list(binary_task(head).sides(classes))


def means(explained: Explained) -> dict[str, Mean]:
    """The mean map of each emotion over faces that were named right; emotions without one are left out."""
    e, found = explained, {}
    for label, name in enumerate(e.classes):
        mine = (e.truth == label) & (e.answers == label)
        if mine.any():
            heat = e.maps[mine].mean(axis=0, dtype=np.float64)
            total = heat.sum()
            upper = float(heat[: len(heat) // 2].sum() / total) if total else np.nan
            found[name] = Mean(int(mine.sum()), e.crops[mine].mean(axis=0), heat, upper)
    return found


def painted(crops: NDArray[np.uint8], order: Maps, share: float = PAINTED) -> NDArray[np.uint8]:
    """Faces (N, S, S) whose `share` of pixels with the highest `order` (N, S, S) is the face's mean gray."""
    flat = crops.reshape(len(crops), -1).copy()
    count = round(share * flat.shape[1])
    chosen = np.argsort(-order.reshape(len(crops), -1), axis=1, kind="stable")[:, :count]
    mean = np.rint(flat.mean(axis=1)).astype(np.uint8)
    np.put_along_axis(flat, chosen, np.repeat(mean[:, None], count, axis=1), axis=1)
    return flat.reshape(crops.shape)


def reliance(explained: Explained, ask: Ask) -> Reliance:
    """What the hottest, the coldest and another face's hottest fifth are worth to the answer.

    Args:
        ask: gray faces, uint8 (N, S, S), to probabilities (N, C) of the same classes.

    Raises:
        UsageError: there are fewer than two faces.

    Source of the idea: Samek et al. 2017, "Evaluating the Visualization of What a Deep Neural Network Has
    Learned", where regions are taken away in order of their heat.
    """
    e = explained
    if len(e.crops) < 2:
        raise UsageError("two faces are needed: each is also painted by the map of another.")
    place = np.arange(len(e.crops))
    orders = {"hottest": e.maps, "other": np.roll(e.maps, 1, axis=0), "coldest": -e.maps}
    left = {
        name: float(ask(painted(e.crops, order))[place, e.answers].mean()) for name, order in orders.items()
    }
    whole = float(ask(e.crops)[place, e.answers].mean())
    return Reliance(len(e.crops), whole, left["hottest"], left["other"], left["coldest"])


def parts(explained: Explained, tried: Reliance | None = None) -> Iterator[Part]:
    """The figures of an explained split, in their order."""
    e, averages = explained, means(explained)
    how = f"Grad-CAM on {e.layer} ({e.cells} x {e.cells} cells), enlarged; brighter is hotter."
    if averages:
        yield Part(
            "attention_means",
            "Where the network looks, by emotion",
            f"The mean map of the faces that were named right, over their mean face. {how}",
            (1.6 * len(averages), 2.5),
            lambda axes: drawing.draw_means(axes, averages),
            {
                name: {"faces": m.faces, "share of heat in the upper half": m.upper}
                for name, m in averages.items()
            },
        )
        examples = _surest(e, right=True)
        rows = -(-len(examples) // _EXAMPLES)
        yield Part(
            "attention_examples",
            "The surest right answers",
            f"Of each emotion the {_EXAMPLES} named right with most certainty, as they are and with the heat "
            "of the answer.",
            (1.25 * 2 * _EXAMPLES, 1.6 * rows),
            lambda axes: drawing.draw_examples(axes, e, examples, columns=_EXAMPLES),
            _listed(e, examples),
        )
    mistakes = _surest(e, right=False)
    if len(mistakes):
        columns = min(4, len(mistakes))
        yield Part(
            "attention_mistakes",
            "The surest mistakes",
            "What spoke for the wrong answer. Many of these labels are doubtful: look at the face first.",
            (1.25 * 2 * columns, 1.6 * -(-len(mistakes) // columns)),
            lambda axes: drawing.draw_examples(axes, e, mistakes, columns=columns),
            _listed(e, mistakes),
        )
    if tried is not None:
        yield Part(
            "attention_reliance",
            "Do the maps tell the truth?",
            "A fifth of each face is painted in its mean gray. If the heat is what the answer rests on, the "
            "hottest fifth costs most, more than a fifth chosen by another face's map.",
            (7.5, 2.9),
            lambda axes: drawing.draw_reliance(axes, tried),
            {name: getattr(tried, name) for name in ("faces", "whole", "hottest", "other", "coldest")},
        )


def _surest(e: Explained, *, right: bool) -> NDArray[np.intp]:
    """Places of the surest right answers of each emotion in turn, or of the surest mistakes of all."""
    order = np.argsort(-e.confidence, kind="stable")
    if not right:
        mistakes: NDArray[np.intp] = order[(e.answers != e.truth)[order]][:_MISTAKES]
        return mistakes
    chosen = [
        order[((e.answers == label) & (e.truth == label))[order]][:_EXAMPLES]
        for label in range(len(e.classes))
    ]
    return np.concatenate(chosen)


def _listed(e: Explained, places: NDArray[np.intp]) -> list[dict[str, object]]:
    return [
        {
            "row": int(e.rows[i]),
            "label": e.classes[e.truth[i]],
            "answer": e.classes[e.answers[i]],
            "probability": round(float(e.confidence[i]), 4),
        }
        for i in places
    ]
