"""The networks of runs and of exported models, and the models that evaluation scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mien.errors import MienError, ModelError, RecipeError, UsageError
from mien.models.classifier import HeadClassifier
from mien.models.registry import find_model
from mien.probabilities import softmax
from mien.runs.recipe import Recipe, from_dict, load_recipe
from mien.training.checkpoint import BEST, read_checkpoint
from mien.training.network.model import ExpressionNet, as_input, build_network, head_labels


class LoadedRun(NamedTuple):
    """The best network of a run in evaluation mode, its recipe, and the facts of its checkpoint.

    `facts` holds ``epoch`` (that epoch's row of metrics.csv), ``size``, ``heads`` and ``ema``.
    """

    network: ExpressionNet
    recipe: Recipe
    facts: dict[str, Any]


def load_run(run: Path) -> LoadedRun:
    """The best network that a run has saved so far, on the CPU, at the size of its own epoch.

    A recipe may let the size grow along the run, so the recipe's size need not be the best epoch's.

    Raises:
        ModelError: the folder is no run, has no finished epoch yet, or its parts do not fit together.
    """
    for name, meaning in (("recipe.toml", "is no training run"), (BEST, "has no finished epoch yet")):
        if not (run / name).is_file():
            raise ModelError(
                f"{run} {meaning}: there is no {name} in it. Give the folder of a run, such as runs/NAME, "
                "that has finished an epoch."
            )
    try:
        recipe = load_recipe(run / "recipe.toml")
        checkpoint = read_checkpoint(run / BEST)
        spec = dataclasses.replace(recipe.network, size=checkpoint.facts["size"])
        network = build_network(
            spec, tuple(checkpoint.facts["heads"]), seed=0, pretrained=False, own=recipe.data.classes
        )
        network.load_state_dict(checkpoint.tensors)
    except (MienError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{run}: {BEST} cannot be loaded with recipe.toml: {error}. Were the files changed after the "
            "training? Train again, or restore them."
        ) from error
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LoadedRun(network, recipe, checkpoint.facts)


def load_network(model: str | Path) -> ExpressionNet:
    """The network of a run, of a model that ships, or of an ONNX file, in evaluation mode on the CPU.

    From an ONNX file it predicts as the file does, its normalisation folded into the convolutions.

    Raises:
        ModelError: there is no network that can be loaded.
        UnknownModel: neither a run, nor a model that ships, nor a file.
        CardError: the file's card is missing or not one of mien's.
    """
    if Path(model).is_dir():
        return load_run(Path(model)).network
    found = find_model(model)
    try:
        recipe = from_dict(found.card.training["recipe"])
        spec = dataclasses.replace(recipe.network, size=found.card.network_size, init=str(found.onnx))
    except (KeyError, TypeError, RecipeError) as error:
        raise ModelError(
            f"the card of {found.onnx} does not hold the recipe of this version of mien ({error}), which the "
            "network is built by. Export the model again, or give the run's folder."
        ) from error
    heads = tuple(head.name for head in found.card.network_heads)
    network = build_network(spec, heads, seed=0, own=recipe.data.classes).eval()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def logits_of(
    network: ExpressionNet, crops: NDArray[np.uint8], *, batch_size: int = 256
) -> dict[str, NDArray[np.float32]]:
    """By name of the head, the logits of gray faces, uint8 (N, S, S): float32 (N, C).

    No faces give no rows.

    Raises:
        UsageError: crops of another type or shape.
    """
    if crops.dtype != np.uint8 or crops.ndim != 3 or crops.shape[1] != crops.shape[2]:
        raise UsageError(f"crops must be uint8 (N, S, S), not {crops.dtype} {crops.shape}.")
    device = next(network.parameters()).device
    widths = {name: len(network.get_parameter(f"heads.{name}.bias")) for name in network.heads}
    parts = {name: [np.empty((0, width), np.float32)] for name, width in widths.items()}
    with torch.inference_mode():
        for start in range(0, len(crops), batch_size):
            batch = np.array(crops[start : start + batch_size])  # a copy: tables are read-only
            for name, logits in network(as_input(torch.from_numpy(batch).to(device))).items():
                parts[name].append(logits.float().cpu().numpy())
    return {name: np.concatenate(part) for name, part in parts.items()}


class TorchModel:
    """A run's best network with all its heads, before any calibration.

    Args:
        run: the run's folder.
        device: where torch works.
        batch_size: the most faces that go through the network at once.

    Raises:
        ModelError: the folder has no network that can be loaded.
        UsageError: a batch size below 1.
    """

    def __init__(self, run: str | Path, *, device: str = "cpu", batch_size: int = 256) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be 1 or more, not {batch_size}.")
        self.run = self.path = Path(run)
        self._batch_size = batch_size
        network, recipe, _ = load_run(self.run)
        self._network = network.to(device)
        # For votes all ten columns, grounds to abstain included.
        self.heads = {name: head_labels(name, recipe.data.classes) for name in network.heads}
        self.temperatures = dict.fromkeys(self.heads, 1.0)

    def __repr__(self) -> str:
        heads = ", ".join(f"{name} ({len(labels)} labels)" for name, labels in self.heads.items())
        return f"<TorchModel {self.name}: {heads}>"

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.run.resolve().name

    def predict(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """By name of the head, probabilities, float32 (N, C), of gray faces, uint8 (N, S, S); rows sum to 1.

        Raises:
            UsageError: crops of another type or shape.
        """
        logits = logits_of(self._network, crops, batch_size=self._batch_size)
        return {name: softmax(out) for name, out in logits.items()}


class TorchClassifier(HeadClassifier):
    """One head of a run's best network.

    Args:
        run: the run's folder.
        head: ``"fer2013"``, ``"votes"``, or the name of the binary task that the run was trained on.
        options: those of `TorchModel`.

    Raises:
        CardError: the network has no such head.
        ModelError, UsageError: as `TorchModel` does.
    """

    def __init__(self, run: str | Path, *, head: str = "fer2013", **options: Any) -> None:
        super().__init__(TorchModel(run, **options), head)
