"""Predictions of a model, and for each the part of the face that supports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mien.evaluation.attribution import Explanation
from mien.models.registry import find_model
from mien.probabilities import softmax
from mien.training.classifier import load_network, load_run, logits_of
from mien.training.gradcam import GradCam
from mien.training.network.model import head_labels


class Explainer:
    """A model that explains its predictions by Grad-CAM.

    Args:
        model: a run's folder, the name of a model that ships, or an ONNX file that mien wrote.
        head: whose predictions are explained.
        layer: see `GradCam`.
        threads: torch's in this process from now on; as they are for None.

    Raises:
        ModelError, UnknownModel, CardError: there is no such model, or it cannot be loaded into a network.
        UsageError: the network has no such layer.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        head: str = "fer2013",
        layer: str | None = None,
        threads: int | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._network = load_network(model)
        self._head = head
        self._classes = _classes_of(model, head)
        # A run has none yet: it is fitted when the model is exported.
        self._temperature = 1.0 if Path(model).is_dir() else find_model(model).card.head(head).temperature
        self._cam = GradCam(self._network, head=head, layer=layer)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of `predict`."""
        return self._classes

    @property
    def layer(self) -> str:
        """The layer whose maps are weighed."""
        return self._cam.layer

    @property
    def cells(self) -> int:
        """How many cells a side those maps have."""
        return self._cam.cells

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, float32 (N, C), of gray faces, uint8 (N, S, S), as the exported model gives them."""
        return softmax(logits_of(self._network, crops)[self._head] / np.float32(self._temperature))

    def explain(
        self, crops: NDArray[np.uint8], *, most: int = 1, progress: Callable[[int], None] = lambda _: None
    ) -> Explanation:
        """The answers to faces, uint8 (N, S, S), and what speaks for the `most` most probable of each.

        `progress` is called with a number of faces: N times `most` in all.

        Raises:
            UsageError: crops of another type or shape.
        """
        probabilities = self.predict(crops)
        ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :most]
        maps = [self._cam.maps(crops, column, progress=progress) for column in ranked.T]
        return Explanation(self.classes, probabilities, ranked, np.stack(maps, axis=1))


def _classes_of(model: str | Path, head: str) -> tuple[str, ...]:
    """The labels of a head, from the recipe of a run or the card of a model."""
    if Path(model).is_dir():
        return head_labels(head, load_run(Path(model)).recipe.data.classes)
    return find_model(model).card.head(head).labels
