"""Models by what names them: a shipped name, an ONNX file, the folder of a training run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtra, UsageError
from mien.files import kind_of_path
from mien.runs.seed_folder import PLAN, runs_of_seeds

if TYPE_CHECKING:
    from mien.data.table import FaceTable
    from mien.models.classifier import Model
    from mien.runs.recipe import Recipe


# Drawn faces on which an export without data is proved.
_PROOF_FACES = 64


def is_run(model: str | Path) -> bool:
    """Whether it is a training run's folder.

    Raises:
        UsageError: it is a folder, and none of a run.
    """
    folder = Path(model)
    if kind_of_path(folder, UsageError) != "folder":
        return False
    if not (folder / "recipe.toml").is_file():
        if kind_of_path(folder / PLAN, UsageError) == "file":
            raise UsageError(
                f"{folder} has the runs of several seeds, which mien compare alone takes together. Give one "
                f"of them: {', '.join(str(run) for run in sorted(folder.glob('seed-*')))}."
            )
        if folds := sorted(folder.glob("fold-*/recipe.toml"), key=lambda path: int(path.parent.name[5:])):
            raise UsageError(
                f"{folder} has the runs of several folds, which mien report alone takes together. Give "
                f"one of them: {', '.join(str(path.parent) for path in folds)}."
            )
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


def model_of_run(run: Path) -> Path:
    """What to measure a run by: its newest float export, else its folder, which needs PyTorch.

    Raises:
        UsageError: it was not exported, and PyTorch is not installed.
    """
    from mien.models.registry import DEFAULT, exported_of

    if (found := exported_of(run)) is not None:
        return found
    if find_spec("torch") is None:
        raise UsageError(
            f"{run} has no exported model, and PyTorch is not installed to load the run itself. Install "
            f"'mien[train]', or evaluate a shipped model: --model {DEFAULT}."
        )
    return run


def exported(run: str | Path) -> Path:
    """The ONNX file of a training run: the one in its folder, or else a new one, which is not calibrated.

    A new one is proved to agree with PyTorch on drawn faces; `mien.export` proves and calibrates it on
    real ones.

    Raises:
        MissingExtra: it has to be exported, and PyTorch or ONNX is not installed.
        ModelError, ExportError, UsageError: as `mien.export` does.
    """
    from mien.models.registry import exported_of

    folder = Path(run)
    if (found := exported_of(folder)) is not None:
        return found
    try:
        from mien.exporting.onnx import export_run
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Exporting (package {error.name!r})", "train") from error
    from mien.data.synthetic.faces import faces
    from mien.images.crop import FER2013_FRAMING

    table = faces(_PROOF_FACES, size=recipe_of(folder).data.face_size)
    split = next(iter(table.split_counts))
    return export_run(folder, faces=table, split=split, framing=FER2013_FRAMING).onnx


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
    """What a run was trained on; None where its folder does not say, or no split of the data chose its epoch.

    Raises:
        RecipeError: its recipe cannot be read.
    """
    recipe, options = recipe_of(run), _options(run)
    if not options.get("data") or recipe.data.folds or recipe.data.holdout:
        return None
    votes = Path(options["votes"]) if options.get("votes") else None
    return TrainedOn(options["data"], votes, recipe.data.validation, options.get("label_map"))


def faces_of_run(run: Path, votes: str | Path | None = None) -> SourceOfFaces:
    """The faces that a run was started with, with other `votes` if given.

    Raises:
        UsageError: its folder does not say where they are.
    """
    options = _options(run)
    if not options.get("data"):
        raise UsageError(
            f"{run / 'run.json'} does not say where the run's faces were. Give them with --data PATH, and "
            "their votes, if there are any, with --votes."
        )
    return SourceOfFaces(options["data"], votes or options.get("votes"), None, options.get("label_map"))


def _options(run: Path) -> dict[str, Any]:
    """What a run was started with, as its run.json says; nothing where that cannot be read."""
    try:
        options = json.loads((run / "run.json").read_text(encoding="utf-8"))["options"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return options if isinstance(options, dict) else {}


def binary_task_of(model: str | Path) -> str | None:
    """The name of the binary task that a run was trained on; None for every other model.

    Raises:
        UsageError: a folder that is no run.
        RecipeError: its recipe cannot be read.
    """
    from mien.emotions import binary_task

    if not is_run(model):
        return None
    name = recipe_of(Path(model)).data.binary
    return binary_task(name).name if name else None


def labels_head_of(model: str | Path) -> str:
    """The name of a model's head for the labels of its data: ``"own"`` for other classes than FER2013's.

    Raises:
        UsageError, RecipeError, UnknownModel, CardError: as `load_model`.
    """
    from mien.models.card import OWN_HEAD
    from mien.models.registry import find_model

    if is_run(model):
        return OWN_HEAD if recipe_of(Path(model)).data.classes else "fer2013"
    names = [head.name for head in find_model(model).card.heads]
    return OWN_HEAD if OWN_HEAD in names else "fer2013"


@dataclass(frozen=True)
class SourceOfFaces:
    """Where faces to score or compare models on come from.

    `data` is None where there are only CSVs of predictions, `split` where neither caller nor run names one.
    """

    data: str | Path | FaceTable | None
    votes: str | Path | None
    split: str | None
    label_map: str | Path | None = None


def networks_of(model: str | Path | Model) -> dict[int, Path]:
    """Seed to run, of the folder of several seeds; empty for every other model.

    Raises:
        UsageError: not all of its seeds are trained.
    """
    if not isinstance(model, (str, Path)) or kind_of_path(Path(model), UsageError) != "folder":
        return {}
    return runs_of_seeds(Path(model))


def runs_among(models: Sequence[str | Path | Model]) -> list[Path]:
    """The training runs among models, those of several seeds one by one.

    Raises:
        UsageError: a folder that has no run.
    """
    runs: list[Path] = []
    for model in models:
        if several := networks_of(model):
            runs += several.values()
        elif isinstance(model, (str, Path)) and is_run(model):
            runs.append(Path(model))
    return runs


def faces_to_compare(
    models: Sequence[str | Path | Model],
    data: str | Path | FaceTable | None = None,
    votes: str | Path | None = None,
    split: str | None = None,
    label_map: str | Path | None = None,
) -> SourceOfFaces:
    """The faces that are given, or else those that the runs among the models were trained on.

    Raises:
        UsageError: no data is given, and no run says what it was trained on, or runs differ in it.
    """
    runs = runs_among(models)
    known = [each for each in map(trained_on, runs) if each is not None]
    split = split or _common("split", [each.validation for each in known])
    if data is not None or all(is_csv(model) for model in models):
        return SourceOfFaces(data, votes, split, label_map)
    if not known:
        raise UsageError(
            "the faces to compare on are not known: no run among the models says what it was trained on. "
            "Give them with --data PATH."
        )
    votes = votes or next((each.votes for each in known if each.votes is not None), None)
    return SourceOfFaces(
        _common("data", [each.data for each in known]), votes, split, label_map or known[0].label_map
    )


def is_csv(model: str | Path | Model) -> bool:
    """Whether it is the path of a CSV, as ``mien evaluate --predictions`` writes it."""
    return isinstance(model, (str, Path)) and str(model).lower().endswith(".csv")


def _common(what: str, values: list[str]) -> str | None:
    if len(set(values)) > 1:
        raise UsageError(
            f"the runs do not have the same {what} ({', '.join(sorted(set(values)))}). Give --{what}."
        )
    return values[0] if values else None
