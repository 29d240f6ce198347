"""Models by what names them: a shipped name, an ONNX file, the folder of a training run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from mien.models.classifier import HeadClassifier, Model
    from mien.runs.recipe import Recipe


def is_run(model: str | Path) -> bool:
    """Whether it is a training run's folder.

    Raises:
        UsageError: it is a folder, and none of a run.
    """
    folder = Path(model)
    if not folder.is_dir():
        return False
    if not (folder / "recipe.toml").is_file():
        raise UsageError(
            f"{folder} is a folder without a recipe.toml, so it is no training run. Give a run's folder, an "
            "ONNX file or the name of a shipped model (see `mien models`)."
        )
    return True


def load_model(model: str | Path) -> Model:
    """A model with all its heads: of a training run's folder, an ONNX file with its card, or a shipped name.

        >>> import mien
        >>> mien.load_model("mien-tiny")
        <OnnxModel mien-tiny: fer2013 (7 labels), votes (10 labels); 48 px faces, on cpu>

    Its `predict` takes gray faces, uint8 (N, S, S), and gives the probabilities of each head from one pass.

    Raises:
        UsageError: a folder that is no run.
        MissingExtra: a run, and PyTorch is not installed.
        UnknownModel, CardError, ModelError: it is no model, or cannot be loaded.
    """
    if not is_run(model):
        from mien.models.onnx import OnnxModel

        return OnnxModel(model)
    if find_spec("torch") is None:
        raise MissingExtra("A training run", "train")
    from mien.training.classifier import TorchModel

    return TorchModel(model)


def open_classifier(model: str | Path, head: str) -> HeadClassifier:
    """One head of what `load_model` gives. Raises as that does; also CardError: it has no such head."""
    from mien.models.classifier import HeadClassifier

    return HeadClassifier(load_model(model), head)


def recipe_of(run: Path) -> Recipe:
    """The recipe of a training run's folder.

    Raises:
        RecipeError: it cannot be read.
        MissingExtra: the packages that read recipes are not installed.
    """
    try:
        from mien.runs.recipe import load_recipe
    except ModuleNotFoundError as error:
        raise MissingExtra("A training run", "train") from error
    return load_recipe(run / "recipe.toml")


@dataclass(frozen=True)
class TrainedOn:
    """The data that a run began with, and the split that chose its epoch."""

    data: str
    votes: Path | None
    validation: str
    label_map: str | None = None


def trained_on(run: Path) -> TrainedOn | None:
    """What a run was trained on; None where its folder does not say, or a fold chose its epoch.

    Raises:
        RecipeError: its recipe cannot be read.
    """
    try:
        asked = json.loads((run / "run.json").read_text(encoding="utf-8")).get("options") or {}
    except (OSError, ValueError):
        return None
    recipe = recipe_of(run)
    if not asked.get("data") or recipe.data.folds:
        return None
    votes = Path(asked["votes"]) if asked.get("votes") else None
    return TrainedOn(asked["data"], votes, recipe.data.validation, asked.get("label_map"))


def question_of(model: str | Path) -> str | None:
    """The name of the framing that a run was trained on; None for every other model.

    Raises:
        UsageError: a folder that is no run.
        RecipeError: its recipe cannot be read.
    """
    from mien.emotions import binary_task

    if not is_run(model):
        return None
    framing = recipe_of(Path(model)).data.binary
    return binary_task(framing).name if framing else None
