"""What can be scored: a model computes all its heads in one pass, a classifier is one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.errors import CardError, ModelError

# Loose enough for half precision, tight enough to catch logits.
_SUM_TOLERANCE = 1e-2


class Model(Protocol):
    """A model with one or more heads, all computed in one pass.

    Attributes:
        name: what it is called in reports.
        heads: name of each head to the labels of its columns, in order.
        temperatures: name of each head to the temperature that its probabilities hold; 1 if none was fitted.
    """

    @property
    def name(self) -> str: ...

    @property
    def heads(self) -> Mapping[str, tuple[str, ...]]: ...

    @property
    def temperatures(self) -> Mapping[str, float]: ...

    def predict(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """By name of the head, probabilities (N, C) of gray faces, uint8 (N, H, W); rows sum to 1."""
        ...


class Classifier(Protocol):
    """Anything that can be scored: one head of a model, an ensemble, a peer.

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


@dataclass(frozen=True)
class HeadClassifier:
    """One head of a model as a classifier; several may view one model.

    Attributes:
        model: the model.
        head_name: the name of its head.

    Raises:
        CardError: the model has no such head.
    """

    model: Model
    head_name: str

    def __post_init__(self) -> None:
        if self.head_name not in self.model.heads:
            raise CardError(
                f"model {self.name!r} has no head {self.head_name!r}; it has: {', '.join(self.model.heads)}."
            )

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `predict`, in order."""
        return self.model.heads[self.head_name]

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, len(labels)) of gray faces, uint8 (N, H, W); rows sum to 1."""
        return self.model.predict(crops)[self.head_name]


def classify(
    classifier: Classifier,
    faces: NDArray[np.uint8],
    *,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """The probabilities of N faces, float32 (N, C), predicted in batches of `batch_size`.

    `progress` is called after every batch with the number of faces in it. No faces give (0, C).

    Raises:
        ModelError: the classifier gave another shape, a value that is not finite or is negative, or rows
            that do not sum to 1.
    """
    whole = np.empty((len(faces), len(classifier.labels)), np.float32)
    for start in range(0, len(faces), batch_size):
        batch = faces[start : start + batch_size]
        given = classifier.predict(batch)
        whole[start : start + len(batch)] = _checked(classifier.name, classifier.labels, given, len(batch))
        if progress is not None:
            progress(len(batch))
    return whole


def classify_heads(
    model: Model,
    faces: NDArray[np.uint8],
    *,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """By name of the head, the probabilities of N faces, float32 (N, C), from one pass over each face.

    Pixel-identical faces are predicted once. `progress` is called with numbers of faces that sum to N.

    Raises:
        ModelError: as `classify` does.
    """
    first: dict[bytes, int] = {}
    row = np.array([first.setdefault(face.tobytes(), len(first)) for face in faces], np.int64)
    _, distinct = np.unique(row, return_index=True)  # rows are numbered in order of appearance
    whole = {name: np.empty((len(distinct), len(labels)), np.float32) for name, labels in model.heads.items()}
    for start in range(0, len(distinct), batch_size):
        batch = faces[distinct[start : start + batch_size]]
        given = model.predict(batch)
        for name, labels in model.heads.items():
            whole[name][start : start + len(batch)] = _checked(model.name, labels, given[name], len(batch))
        if progress is not None:
            progress(len(batch))
    if progress is not None and len(faces) > len(distinct):
        progress(len(faces) - len(distinct))
    return {name: probabilities[row] for name, probabilities in whole.items()}


def _checked(
    name: str, labels: tuple[str, ...], probabilities: NDArray[np.float32], n: int
) -> NDArray[np.float32]:
    """The probabilities of one batch, if they are probabilities."""
    expected = (n, len(labels))
    if probabilities.shape != expected:
        raise ModelError(
            f"model {name!r} gave an array of shape {probabilities.shape} for {n} faces where its "
            f"{expected[1]} labels need {expected}. Its labels do not belong to its weights."
        )
    if not np.isfinite(probabilities).all():
        raise ModelError(f"model {name!r} gave NaN or infinity. Its weights are broken.")
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise ModelError(
            f"model {name!r} gave rows that are no probabilities (smallest value "
            f"{probabilities.min():.3g}, first sum {probabilities[0].sum():.3g}). Apply a softmax to them."
        )
    return probabilities
