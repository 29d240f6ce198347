"""A recipe: everything that decides what a training run does, as frozen dataclasses and as TOML."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomli_w
from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from mien.emotions import binary_task
from mien.errors import RecipeError, UsageError
from mien.files import expanded, kind_of_path
from mien.names import shown
from mien.runs.recipe_sections import (
    CONFIG,
    AugmentRecipe,
    DataRecipe,
    DistilRecipe,
    LoopRecipe,
    LossRecipe,
    NetworkRecipe,
    OptimizerRecipe,
    ScheduleRecipe,
    key,
)

# What other libraries call a key, or what people look for, by mien's key.
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "optimizer.lr": ("learning_rate", "max_lr", "base_lr", "lr0", "eta", "step_size"),
    "optimizer.name": ("optim", "opt", "algorithm"),
    "optimizer.weight_decay": ("wd", "l2", "decay", "regularization"),
    "optimizer.clip_norm": ("grad_clip", "clip", "max_grad_norm", "gradient_clip_val", "clipnorm"),
    "optimizer.clip_value": ("clipvalue",),
    "optimizer.ema": ("ema_decay", "averaging", "swa"),
    "loop.batch_size": ("batch", "batchsize", "bs", "train_batch_size"),
    "loop.micro_batch": ("accumulation", "accumulate", "grad_accum", "accumulate_grad_batches"),
    "loop.precision": ("amp", "fp16", "bf16", "mixed_precision", "half"),
    "loop.seed": ("random_state", "random_seed", "manual_seed"),
    "loop.select": ("monitor", "metric", "best", "metric_for_best_model"),
    "schedule.epochs": ("epoch", "n_epochs", "num_epochs", "max_epochs", "num_train_epochs"),
    "schedule.name": ("scheduler", "lr_scheduler", "sched"),
    "schedule.patience": ("early_stopping", "early_stop"),
    "schedule.warmup_epochs": ("warmup", "warm_up"),
    "network.backbone": ("model", "arch", "architecture", "net", "encoder"),
    "network.init": ("pretrained", "weights", "checkpoint"),
    "network.size": ("img_size", "image_size", "imgsz", "input_size", "resolution"),
    "network.drop_rate": ("dropout", "drop"),
    "network.drop_path": ("stochastic_depth", "droppath"),
    "augment.degrees": ("rotation", "rotate"),
    "augment.flip": ("hflip", "horizontal_flip", "fliplr"),
    "augment.erase": ("cutout", "random_erasing"),
    "loss.label_smoothing": ("smoothing",),
    "data.validation": ("val", "valid", "val_split", "validation_split"),
    "data.holdout": ("test_size", "val_size", "validation_fraction"),
    "data.folds": ("kfold", "k_fold", "n_splits", "cv"),
}
_MEANT = {other: path for path, others in _OTHER_NAMES.items() for other in others}


@dataclass(frozen=True, config=CONFIG)
class Recipe:
    """One training run, complete. `mien train --list` names the shipped ones; `load_recipe` reads one.

    Raises:
        RecipeError: two values that exclude each other.
        pydantic.ValidationError: a value of the wrong type or outside its limits.
    """

    name: str = key("unnamed", "The name of the recipe, and of its runs' folders.")
    description: str = key("", "One line for `mien train --list`.")
    data: DataRecipe = field(default_factory=DataRecipe)
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    distil: DistilRecipe = field(default_factory=DistilRecipe)
    loop: LoopRecipe = field(default_factory=LoopRecipe)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as nested plain values."""
        return dataclasses.asdict(self)

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """The recipe with other values by key, such as ``{"schedule.epochs": 2}``.

        Raises:
            RecipeError: as `load_recipe`.
        """
        return _changed(self.to_dict(), changes)

    @model_validator(mode="after")
    def _check_together(self) -> Recipe:
        """What the limits of single keys cannot exclude."""
        if self.optimizer.clip_value and self.optimizer.clip_norm:
            raise RecipeError(
                "optimizer.clip_value and optimizer.clip_norm are both set; keep one and set the other to 0."
            )
        if self.distil.teachers and self.distil.predictions:
            raise RecipeError(
                "distil.teachers and distil.predictions are both set; keep one. The file holds what its "
                "teachers predict."
            )
        votes_count = self.loss.votes_weight and self.data.votes and not self.data.binary
        if not self.loss.label_weight and not votes_count:
            raise RecipeError(
                "loss.label_weight is 0 and no other head is trained: nothing would be learned."
            )
        if self.data.folds == 1 or (self.data.folds and self.data.fold > self.data.folds):
            raise RecipeError(
                f"data.folds must be 2 or more and data.fold at most that, not {self.data.folds} and "
                f"{self.data.fold}. Set data.folds=0 to train without folds."
            )
        if self.data.folds and self.data.holdout:
            raise RecipeError(
                "data.folds and data.holdout are both set; a fold is held out already. Keep one of them."
            )
        if self.data.binary:
            try:
                binary_task(self.data.binary)
            except UsageError as error:
                raise RecipeError(f"data.binary: {error}") from None
        if self.augment.scale[0] > self.augment.scale[1]:
            raise RecipeError(f"augment.scale must be smallest, largest; not {list(self.augment.scale)}.")
        sizes = [list(pair) for pair in self.schedule.sizes]
        starts = [start for start, _ in sizes]
        if starts and (starts[0] != 0 or starts != sorted(set(starts))):
            raise RecipeError(f"schedule.sizes must start at epoch 0 and rise, not {sizes}.")
        if any(not 16 <= side <= 1024 for _, side in sizes):
            raise RecipeError(f"schedule.sizes: a side must lie in 16 to 1024, not {sizes}.")
        return self


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a recipe, for messages and documentation."""

    section: str
    name: str
    kind: Any
    default: Any
    meaning: str
    limits: tuple[float | None, float | None]

    @property
    def path(self) -> str:
        """As in ``--set``: ``"optimizer.lr"``."""
        return f"{self.section}.{self.name}" if self.section else self.name


@cache
def keys() -> tuple[Key, ...]:
    """Every key of a recipe, in order; those outside of a section have ``""`` as theirs."""
    return tuple(
        Key(section, name, info.annotation, info.default, info.description or "", _limits(info.metadata))
        for section, kind in {"": Recipe, **_sections()}.items()
        for name, info in kind.__pydantic_fields__.items()
        if section or name not in _sections()
    )


def recipe_names() -> list[str]:
    """Names of the shipped recipes; one in a folder has the folder in front, as in ``ensemble/lite2-sam``."""
    folder = Path(str(resources.files("mien.runs"))) / "recipes"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml"))


def load_recipe(name: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a shipped name or of a TOML file, with other values for some keys.

    A file without a name is named after itself. `changes` are values by key, such as
    ``{"schedule.epochs": 2}``; the section may be left out where only one has the key.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key (the nearest one is named), a value of the wrong
            type or outside its limits, or values that exclude each other.
    """
    shipped = resources.files("mien.runs") / "recipes" / f"{name}.toml"
    source = shipped if str(name) in recipe_names() else expanded(name)
    if source != shipped and kind_of_path(expanded(name), RecipeError) != "file":
        raise RecipeError(
            f"no recipe {shown(name)!r}. Shipped: {', '.join(recipe_names())}; or give a TOML file."
        )
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name} is not a recipe in TOML: {error}.") from error
    raw.setdefault("name", Path(name).stem)
    return _changed(raw, changes or {})


def from_dict(raw: Mapping[str, Any]) -> Recipe:
    """The recipe of nested plain values; a key that is not named keeps its default.

    Raises:
        RecipeError: as `load_recipe`.
    """
    try:
        return _adapter().validate_python(raw)
    except ValidationError as error:
        raise RecipeError(_message(error.errors(include_url=False)[0])) from None


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `load_recipe` reads back to an equal one."""
    return tomli_w.dumps(recipe.to_dict())


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Values by key of ``section.key=value`` texts, as ``--set`` takes them; the last of a key counts.

    A value is a TOML literal; a bare word is text, and so is every value of a key that holds text.

    Raises:
        RecipeError: a text is not of that form, or its key is in no section or in several.
    """
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise RecipeError(
                f"--set {text!r} is not of the form section.key=value, such as optimizer.lr=0.001."
            )
        path = _full_path(name.strip())
        holds_text = any(entry.path == path and entry.kind is str for entry in keys())
        changes[path] = _parsed(value.strip(), holds_text=holds_text)
    return changes


def _parsed(text: str, *, holds_text: bool) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return text if holds_text and not isinstance(value, str) else value


def _changed(raw: dict[str, Any], changes: Mapping[str, Any]) -> Recipe:
    for name, value in changes.items():
        section, _, last = _full_path(name).rpartition(".")
        table = raw.setdefault(section, {}) if section else raw
        if not isinstance(table, dict):
            raise RecipeError(f"{name}={value!r}: {section!r} is a key, not a section with keys.")
        table[last] = value
    return from_dict(raw)


def _full_path(name: str) -> str:
    """``"schedule.epochs"`` of ``"epochs"``, where one section alone has the key."""
    if "." in name:
        return name
    homes = [entry for entry in keys() if entry.name == name]
    if any(not entry.section for entry in homes) or len(homes) == 1:
        return homes[0].path
    if homes:
        choices = " or ".join(entry.path for entry in homes)
        raise RecipeError(f"{name!r} is in several sections of a recipe; use {choices}.")
    raise RecipeError(f"unknown recipe key {name!r}.{_nearest(name, [entry.name for entry in keys()])}")


@cache
def _adapter() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


def _sections() -> dict[str, Any]:
    """The class of each section by its name."""
    return {
        name: info.annotation
        for name, info in Recipe.__pydantic_fields__.items()  # type: ignore[attr-defined]
        if dataclasses.is_dataclass(info.annotation)
    }


def _limits(metadata: Sequence[Any]) -> tuple[float | None, float | None]:
    least, most = (
        next((getattr(each, name) for each in metadata if hasattr(each, name)), None) for name in ("ge", "le")
    )
    return least, most


def _message(error: ErrorDetails) -> str:
    """What is wrong with a recipe, in words: the key, the value, and what is allowed."""
    where = [str(part) for part in error["loc"] if isinstance(part, str)]
    path, value = ".".join(where), error["input"]
    if error["type"] == "unexpected_keyword_argument":
        section: Any = _sections().get(where[0], Recipe) if len(where) > 1 else Recipe
        return f"unknown recipe key {path!r}.{_nearest(where[-1], list(section.__pydantic_fields__))}"
    if error["type"] == "dataclass_type":
        return f"recipe section {path!r} must be a table of keys, not {value!r}."
    entry = next(entry for entry in keys() if entry.path == path)
    kind = _kind_at(entry.kind, [part for part in error["loc"] if isinstance(part, int)], error["type"])
    if error["type"] == "literal_error":
        return f"{path} must be one of {', '.join(map(repr, get_args(kind)))}, not {value!r}."
    if error["type"] in ("greater_than_equal", "less_than_equal"):
        least, most = (
            entry.limits if get_origin(entry.kind) is None else _limits(kind.__metadata__[0].metadata)
        )
        return f"{path} must lie in {least:g} to {most:g}, not {value!r}."
    return f"{path} must be {_describe(kind)}, not {value!r}."


def _kind_at(kind: Any, indices: Sequence[int], error: str) -> Any:
    """The type of a part of a tuple; of a part that is missing, the type of what it is missing in."""
    for index in indices[:-1] if error == "missing" else indices:
        parts = get_args(kind)
        kind = parts[0] if parts[-1] is Ellipsis else parts[index]
    return kind


def _nearest(name: str, known: list[str]) -> str:
    """A sentence that names the key of that meaning, else of the nearest spelling, else all of them."""
    if meant := _MEANT.get(name.lower().replace("-", "_")):
        return f" Did you mean {meant!r}?"
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
        return f" Did you mean {near[0]!r}?"
    if near := difflib.get_close_matches(name, _MEANT, n=1, cutoff=0.8):
        return f" Did you mean {_MEANT[near[0]]!r}?"
    return f" Known: {', '.join(known)}."


def _describe(kind: Any) -> str:
    """The values of a type in words: ``"a list of (a whole number, a whole number)"``."""
    if hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, parts))
    if get_origin(kind) is tuple:
        if parts[-1] is Ellipsis:
            return f"a list of {_describe(parts[0])}"
        return f"({', '.join(map(_describe, parts))})"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names[kind]
