"""The seam between models and their scores: anything that turns faces into probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError

# Loose enough for half precision, tight enough to catch logits.
_SUM_TOLERANCE = 1e-2


class Classifier(Protocol):
    """Anything that can be scored: an ONNX file, a training run, a peer.

    Attributes:
        name: what it is called in reports.
        labels: names of the columns that `predict` gives, in order.
    """

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, len(labels)) of gray faces, uint8 (N, H, W); rows sum to 1."""
        ...


class Opened(Classifier, Protocol):
    """One head of a model that is at hand whole.

    Attributes:
        heads: names of all the model's heads.
        temperature: what its probabilities hold; 1 where none was fitted.
    """

    @property
    def heads(self) -> tuple[str, ...]: ...

    @property
    def temperature(self) -> float: ...


class Remembering:
    """A classifier that is asked about each face once, however often it comes: pixel-identical faces are one.

    Args:
        classifier: what is asked about faces not seen before.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._said: dict[bytes, NDArray[np.float32]] = {}

    @property
    def name(self) -> str:
        """The name of the classifier that is asked."""
        return self._classifier.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `predict`, in order."""
        return self._classifier.labels

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, len(labels)) of gray faces, uint8 (N, H, W); rows sum to 1."""
        keys = [face.tobytes() for face in crops]
        places = {key: place for place, key in enumerate(keys) if key not in self._said}
        if places:
            answers = self._classifier.predict(crops[list(places.values())])
            if answers.shape != (len(places), len(self.labels)):
                return answers  # `classify` says what is wrong with it
            self._said.update(zip(places, answers, strict=True))
        none = np.empty((0, len(self.labels)), np.float32)
        return np.stack([self._said[key] for key in keys]) if keys else none


def classify(
    classifier: Classifier,
    faces: NDArray[np.uint8],
    *,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """What the classifier says of N faces, float32 (N, C), asked in batches of `batch_size`.

    `progress` is called after every batch with the number of faces in it. No faces give (0, C).

    Raises:
        ModelError: the classifier gave another shape, a value that is not finite or is negative, or rows
            that do not sum to 1.
    """
    answers = np.empty((len(faces), len(classifier.labels)), np.float32)
    for start in range(0, len(faces), batch_size):
        batch = faces[start : start + batch_size]
        answers[start : start + len(batch)] = _checked(classifier, classifier.predict(batch), len(batch))
        if progress is not None:
            progress(len(batch))
    return answers


def _checked(classifier: Classifier, answer: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """The answer to one batch, if it is one."""
    expected = (n, len(classifier.labels))
    if answer.shape != expected:
        raise ModelError(
            f"model {classifier.name!r} gave an array of shape {answer.shape} for {n} faces where its "
            f"{expected[1]} labels ask for {expected}. Its labels do not belong to its weights."
        )
    if not np.isfinite(answer).all():
        raise ModelError(f"model {classifier.name!r} gave NaN or infinity. Its weights are broken.")
    if answer.min() < 0 or np.abs(answer.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise ModelError(
            f"model {classifier.name!r} gave rows that are no probabilities (smallest value "
            f"{answer.min():.3g}, first sum {answer[0].sum():.3g}). Apply a softmax to its output."
        )
    return answer
