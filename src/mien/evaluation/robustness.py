"""How much of a model's accuracy is left on corrupted images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mien.evaluation.corruptions import CORRUPTIONS, Corruption
from mien.evaluation.metrics import classification as metrics
from mien.evaluation.predictions import Predictions, align
from mien.models.classifier import Classifier, classify


@dataclass(frozen=True)
class CorruptionScore:
    """Accuracy under one kind of damage, from weak to strong.

    Attributes:
        name: of the corruption.
        what: what its levels are.
        levels: five of them.
        accuracy: at each.
        relative: mean of the five over the accuracy on clean faces.
    """

    name: str
    what: str
    levels: tuple[float, ...]
    accuracy: tuple[float, ...]
    relative: float


@dataclass(frozen=True)
class Robustness:
    """Accuracy on damaged faces.

    Attributes:
        clean: accuracy on the faces as they are.
        relative: mean accuracy over all corruptions and strengths over `clean`: 1 is untouched.
        corruptions: each of them.
        seed: what the random ones were drawn from.
        n: faces.
    """

    clean: float
    relative: float
    corruptions: tuple[CorruptionScore, ...]
    seed: int
    n: int


def measure_robustness(
    classifier: Classifier,
    predictions: Predictions,
    *,
    seed: int = 0,
    faces: int | None = None,
    corruptions: Sequence[Corruption] = CORRUPTIONS,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Robustness:
    """The classifier's accuracy on the faces of its predictions, damaged in each way and strength.

    Each corruption and strength draws from a generator of its own, so that the same seed gives the same
    faces, whichever others are measured. With `faces`, a random part of so many is predicted. `progress` is
    called with the number of faces in each batch.

    Raises:
        ModelError: the classifier gave no probabilities.
    """
    p = predictions if faces is None else _part(predictions, faces, np.random.default_rng(seed))
    clean = float(metrics.accuracy(metrics.confusion(p.probabilities, p.truth)))
    scores = []
    for corruption in corruptions:
        accuracies = []
        for strength, level in enumerate(corruption.levels):
            generator = np.random.default_rng([seed, strength, *corruption.name.encode()])
            damaged = corruption.apply(p.faces.pixels, level, generator)
            given = classify(classifier, damaged, batch_size=batch_size, progress=progress)
            given = align(given, classifier.labels, p.classes)
            accuracies.append(float(metrics.accuracy(metrics.confusion(given, p.truth))))
        scores.append(
            CorruptionScore(
                name=corruption.name,
                what=corruption.what,
                levels=corruption.levels,
                accuracy=tuple(accuracies),
                relative=_relative(accuracies, clean),
            )
        )
    everything = [value for each in scores for value in each.accuracy]
    return Robustness(clean, _relative(everything, clean), tuple(scores), seed, len(p.truth))


def _part(predictions: Predictions, faces: int, generator: np.random.Generator) -> Predictions:
    """That many of the predictions, drawn at random, in their order; all where there are no more."""
    p, n = predictions, len(predictions.truth)
    drawn = np.sort(generator.permutation(n)[:faces])
    return dataclasses.replace(
        p,
        probabilities=p.probabilities[drawn],
        truth=p.truth[drawn],
        faces=p.faces.take(drawn),
        not_in_training=None if p.not_in_training is None else p.not_in_training[drawn],
    )


def _relative(accuracies: Sequence[float], clean: float) -> float:
    return float(np.mean(accuracies)) / clean if clean else 0.0
