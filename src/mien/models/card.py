"""What travels with a model: all that a user of its weights must know, never guessed from a file name."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mien.errors import CardError
from mien.models.combination import Combination
from mien.names import shown

# The labels of the data, or the majority of its FER+ votes.
Labels: TypeAlias = Literal["fer2013", "ferplus"]

# 2: conformal thresholds are of adaptive sets.
_FORMAT = 2
# The widest crop that a model takes, in pixels.
_MOST_SIDE = 4096
# The head that is computed from the other two.
COMBINED = "combined"

# The head of classes that are not FER2013's.
OWN_HEAD = "own"

# The head that is trained on each kind of labels, and the labels that each head is calibrated and scored on.
HEAD_OF_LABELS: dict[Labels, str] = {"fer2013": "fer2013", "ferplus": "votes"}
LABELS_OF_HEAD: dict[str, Labels] = {"fer2013": "fer2013", "votes": "ferplus", COMBINED: "ferplus"}
LABELS_OF_HEAD |= {OWN_HEAD: "fer2013"}

# The least and the most of each number of a face's quality (`mien.images.quality`); None where there is none.
Limits: TypeAlias = Mapping[str, tuple[float | None, float | None]]
LIMITED = ("size", "sharpness", "light", "cut_off", "yaw", "pitch")

# What users choose from, and the head that predicts each.
LABEL_SETS: dict[str, str] = {COMBINED: COMBINED, "fer2013": "fer2013", "ferplus": "votes"}


def label_set_of(head: str) -> str:
    """The label set that a head predicts; the name of the head if it is none of mien's own."""
    return next((labels for labels, name in LABEL_SETS.items() if name == head), head)


@dataclass(frozen=True)
class Head:
    """One output of a model.

    Attributes:
        name: ``"fer2013"``, ``"votes"``, ``"combined"`` or ``"own"`` (other classes); also the name
            of the ONNX output, float32 logits (N, len(labels)), unless the head is computed from others.
        labels: names of the columns, in order.
        abstain: those of `labels` that are no emotion but grounds to abstain.
        temperature: divide the logits by it before the softmax (Guo et al. 2017).
        conformal: coverage, as text such as ``"0.90"``, to the threshold of the conformal set: how much
            probability the more probable emotions may have together if an emotion is to enter.
        certain_margin: the least lead of the most probable emotion over the second with which a prediction is
            certain; None where none was fitted.
        combination: how the head is computed from two others; None for an output of the network.
    """

    name: str
    labels: tuple[str, ...]
    abstain: tuple[str, ...] = ()
    temperature: float = 1.0
    conformal: dict[str, float] = field(default_factory=dict)
    certain_margin: float | None = None
    combination: Combination | None = None


@dataclass(frozen=True)
class Framing:
    """Where the detector's box lies in a training image, as fractions of the image's side.

    A crop is the square in which the detected box lies at these fractions, so that faces reach the
    model framed as the faces that it was trained on.
    """

    x: float
    y: float
    width: float
    height: float
    source: str = ""


@dataclass(frozen=True)
class Card:
    """The facts of one exported model, stored as JSON beside it.

    The ONNX takes ``pixels``, uint8 (N, input_size, input_size) gray; scaling, mean, std and
    upsampling are inside it. `mean` and `std` are of pixels in 0..1 and are for information.
    `figures` holds what `mien evaluate` measured, by split: docs/evaluation.md has its keys. `latency` holds
    what one face takes on one core, and the machine that it was timed on. `limits` are those beyond which a
    face is worse seen than what the model was measured on: a tenth of what it gets right is lost there.
    """

    name: str
    backbone: str
    heads: tuple[Head, ...]
    default_head: str
    input_size: int
    network_size: int
    mean: float
    std: float
    framing: Framing | None
    sha256: str
    parameters: int
    macs: int
    licence: str
    data: dict[str, Any]
    training: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    latency: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    format: int = _FORMAT

    @property
    def network_heads(self) -> tuple[Head, ...]:
        """The heads that are outputs of the network."""
        return tuple(head for head in self.heads if head.combination is None)

    def head(self, name: str | None = None) -> Head:
        """The head of that name; the default head for None.

        Raises:
            CardError: the model has no such head.
        """
        wanted = name or self.default_head
        for head in self.heads:
            if head.name == wanted:
                return head
        have = ", ".join(head.name for head in self.heads)
        raise CardError(f"model {self.name!r} has no head {wanted!r}; it has: {have}.")

    def to_json(self) -> str:
        """The card as indented JSON, keys in the order of the class."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def read_card(path: Path) -> Card:
    """The card stored in a JSON file, each value checked.

    Raises:
        CardError: the file is missing, is not JSON, lacks a field or has one too many, or a value cannot be;
            the message names the field.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CardError(
            f"{shown(path)} is missing. A model travels with its card: export it again with `mien export`."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CardError(f"{shown(path)} is not a card of this version of mien: {error!r}.") from error
    try:
        return _card(raw)
    except _FieldError as error:
        raise CardError(
            f"{shown(path)} is not a card of this version of mien: {error}. Export the model again."
        ) from error


class _FieldError(ValueError):
    """What is wrong with a field."""


def _card(raw: Any) -> Card:
    fields = _fields(raw, Card, "")
    if not isinstance(fields["heads"], list) or not fields["heads"]:
        raise _FieldError("heads must be a list with at least one head")
    heads = tuple(_head(head, f"heads[{i}]") for i, head in enumerate(fields["heads"]))
    names = [head.name for head in heads]
    if len(set(names)) < len(names):
        raise _FieldError(f"heads must have different names, not {shown(names)}")
    network = [head.name for head in heads if head.combination is None]
    for head in heads:
        both = head.combination
        if both is not None and not {both.first, both.second} <= set(network):
            raise _FieldError(f"the combination of head {shown(head.name)} must name two of {network}")
    if fields["default_head"] not in names:
        raise _FieldError(f"default_head must be one of {names}, not {shown(fields['default_head'])!r}")
    if fields.get("framing") is not None:
        fields["framing"] = _framing(fields["framing"])
    for name in ("name", "backbone", "licence", "sha256"):
        _check(isinstance(fields[name], str), name, "text", fields[name])
    _check(bool(re.fullmatch("[0-9a-f]{64}", fields["sha256"])), "sha256", "64 hex digits", fields["sha256"])
    for name, least in (("input_size", 8), ("network_size", 8), ("parameters", 0), ("macs", 0)):
        _check(type(fields[name]) is int and fields[name] >= least, name, f"{least} or more", fields[name])
    _check(fields["input_size"] <= _MOST_SIDE, "input_size", f"{_MOST_SIDE} or less", fields["input_size"])
    for name in ("mean", "std"):
        _check(_is_number(fields[name], 0, math.inf), name, "a number from 0 on", fields[name])
    for name in ("data", "training", "figures", "latency"):
        _check(isinstance(fields.get(name, {}), dict), name, "an object", fields.get(name))
    fields["limits"] = _limits(fields.get("limits", {}))
    notes = fields.get("notes", ())
    _check(
        isinstance(notes, (list, tuple)) and all(isinstance(note, str) for note in notes),
        "notes",
        "texts",
        notes,
    )
    _check(fields.get("format") == _FORMAT, "format", str(_FORMAT), fields.get("format"))
    return Card(**{**fields, "heads": heads, "notes": tuple(notes)})


def read_head(raw: Any) -> Head:
    """A head from plain values, such as those of a card.

    Raises:
        CardError: a field is missing, unknown or wrong.
    """
    try:
        return _head(raw, "head")
    except _FieldError as error:
        raise CardError(f"not a head of this version of mien: {error}.") from error


def _head(raw: Any, where: str) -> Head:
    fields = _fields(raw, Head, f"{where}.")
    _check(isinstance(fields["name"], str), f"{where}.name", "text", fields["name"])
    for name in ("labels", "abstain"):
        labels = fields.get(name, ())
        fine = isinstance(labels, (list, tuple)) and all(isinstance(label, str) for label in labels)
        _check(fine and len(set(labels)) == len(labels), f"{where}.{name}", "different texts", labels)
        fields[name] = tuple(labels)
    _check(len(fields["labels"]) > 1, f"{where}.labels", "two or more", fields["labels"])
    _check(
        set(fields["abstain"]) <= set(fields["labels"]), f"{where}.abstain", "among labels", fields["abstain"]
    )
    temperature = fields.get("temperature", 1.0)
    _check(_is_number(temperature, 1e-3, 1e3), f"{where}.temperature", "from 0.001 to 1000", temperature)
    conformal = fields.get("conformal", {})
    fine = isinstance(conformal, dict) and all(_is_number(value, 0, 1) for value in conformal.values())
    _check(fine, f"{where}.conformal", "thresholds from 0 to 1", conformal)
    margin = fields.get("certain_margin")
    least = 0 if fields.get("combination") is None else -1  # a combined head's is a lead in the votes
    fine = margin is None or _is_number(margin, least, 1)
    _check(fine, f"{where}.certain_margin", f"from {least} to 1", margin)
    if fields.get("combination") is not None:
        fields["combination"] = _combination(fields["combination"], f"{where}.combination")
    return Head(**fields)


def _combination(raw: Any, where: str) -> Combination:
    fields = _fields(raw, Combination, f"{where}.")
    for name in ("first", "second"):
        _check(isinstance(fields[name], str), f"{where}.{name}", "the name of a head", fields[name])
    _check(_is_number(fields["weight"], 0, 1), f"{where}.weight", "from 0 to 1", fields["weight"])
    bias = fields["bias"]
    fine = isinstance(bias, dict) and all(_is_number(value, -50, 50) for value in bias.values())
    _check(fine, f"{where}.bias", "numbers from -50 to 50", bias)
    return Combination(**fields)


def _limits(raw: Any) -> dict[str, tuple[float | None, float | None]]:
    _check(isinstance(raw, dict) and set(raw) <= set(LIMITED), "limits", f"of {', '.join(LIMITED)}", raw)
    for name, pair in raw.items():
        fine = isinstance(pair, (list, tuple)) and len(pair) == 2
        fine = fine and all(value is None or _is_number(value, -1e4, 1e4) for value in pair)
        _check(fine, f"limits.{name}", "a least and a most number, or null", pair)
    return {name: (pair[0], pair[1]) for name, pair in raw.items()}


def _framing(raw: Any) -> Framing:
    fields = _fields(raw, Framing, "framing.")
    for name in ("x", "y"):
        _check(_is_number(fields[name], -1, 1), f"framing.{name}", "from -1 to 1", fields[name])
    for name in ("width", "height"):
        _check(_is_number(fields[name], 0.05, 2), f"framing.{name}", "from 0.05 to 2", fields[name])
    _check(isinstance(fields.get("source", ""), str), "framing.source", "text", fields.get("source"))
    return Framing(**fields)


def _fields(raw: Any, kind: type[Any], where: str) -> dict[str, Any]:
    """The values of a class by field, none missing and none too many."""
    if not isinstance(raw, dict):
        raise _FieldError(f"{where.rstrip('.') or 'the whole'} must be an object, not {shown(raw, 80)}")
    known = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(raw) - set(known)):
        raise _FieldError(f"{where}{shown(unknown[0])} is an unknown field")
    for name, each in known.items():
        needed = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        if needed and name not in raw:
            raise _FieldError(f"{where}{name} is missing")
    return dict(raw)


def _check(fine: bool, name: str, wanted: str, value: Any) -> None:
    if not fine:
        raise _FieldError(f"{name} must be {wanted}, not {shown(repr(value), 80)}")


def _is_number(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and least <= value <= most


def without_folders(source: str) -> str:
    """Where data was read from, without the folders of the machine: a card travels.

    >>> without_folders("/home/me/fer2013.tar.gz: fer2013/fer2013.csv")
    'fer2013.tar.gz: fer2013/fer2013.csv'
    """
    file, separator, member = source.partition(": ")
    return re.split(r"[\\/]", file.rstrip("\\/"))[-1] + separator + member
