"""Where a model goes wrong: its most confident mistakes, and the classes that it takes for each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics.classification import confusion
from mien.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Mistake:
    """One wrong prediction.

    Attributes:
        index: of the face among the predictions.
        row: of the face in the source.
        name: its file, or "".
        truth, predicted: names of classes.
        confidence: the probability of the prediction.
        truth_probability: what the true class got.
    """

    index: int
    row: int
    name: str
    truth: str
    predicted: str
    confidence: float
    truth_probability: float


@dataclass(frozen=True)
class ConfusedPair:
    """Faces of one class that were predicted as another.

    Attributes:
        truth, predicted: names of classes.
        faces: how many.
        share: of the faces of the true class.
        examples: some of them, the most confident first.
    """

    truth: str
    predicted: str
    faces: int
    share: float
    examples: tuple[Mistake, ...]


def confident_mistakes(predictions: Predictions, most: int = 32) -> tuple[Mistake, ...]:
    """The wrong predictions with the highest probability, highest first; pixel-identical faces count once."""
    wrong = np.flatnonzero(predictions.probabilities.argmax(axis=1) != predictions.truth)
    return _most_confident(predictions, wrong, most)


def confused_pairs(predictions: Predictions, most: int = 6, examples: int = 8) -> tuple[ConfusedPair, ...]:
    """The pairs of true class and wrong prediction with most faces, each with examples."""
    p = predictions
    counts = confusion(p.probabilities, p.truth)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    top = p.probabilities.argmax(axis=1)
    pairs = []
    for cell in np.argsort(-wrong.ravel(), kind="stable")[:most]:
        true, predicted = divmod(int(cell), len(p.classes))
        if not wrong[true, predicted]:
            break
        indices = np.flatnonzero((p.truth == true) & (top == predicted))
        pairs.append(
            ConfusedPair(
                truth=p.classes[true],
                predicted=p.classes[predicted],
                faces=len(indices),
                share=len(indices) / int(counts[true].sum()),
                examples=_most_confident(p, indices, examples),
            )
        )
    return tuple(pairs)


def _most_confident(predictions: Predictions, indices: NDArray[np.intp], most: int) -> tuple[Mistake, ...]:
    p = predictions
    confidence = p.probabilities.max(axis=1)
    seen: set[bytes] = set()
    found: list[Mistake] = []
    for index in indices[np.argsort(-confidence[indices], kind="stable")]:
        key = p.faces.pixels[index].tobytes()
        if key in seen:
            continue
        seen.add(key)
        found.append(
            Mistake(
                index=int(index),
                row=int(p.faces.rows[index]),
                name="" if p.faces.names is None else str(p.faces.names[index]),
                truth=p.classes[p.truth[index]],
                predicted=p.classes[int(p.probabilities[index].argmax())],
                confidence=float(confidence[index]),
                truth_probability=float(p.probabilities[index, p.truth[index]]),
            )
        )
        if len(found) == most:
            break
    return tuple(found)
