"""What travels with a model: all that a user of its weights must know, never guessed from a file name."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mien.errors import CardError

# The labels of the data, or the majority of its FER+ votes.
Labels: TypeAlias = Literal["fer2013", "ferplus"]

# The head that is trained on each kind of labels, and the labels that each head is calibrated and scored on.
HEAD_OF_LABELS: dict[Labels, str] = {"fer2013": "fer2013", "ferplus": "votes"}
LABELS_OF_HEAD: dict[str, Labels] = {head: labels for labels, head in HEAD_OF_LABELS.items()}


@dataclass(frozen=True)
class Head:
    """One output of a model.

    Attributes:
        name: ``"fer2013"`` or ``"votes"``; also the name of the ONNX output, float32 logits (N, len(labels)).
        labels: names of the columns, in order.
        abstain: those of `labels` that are no emotion but grounds to abstain.
        temperature: divide the logits by it before the softmax (Guo et al. 2017).
        conformal: coverage, as text such as ``"0.90"``, to the threshold of the conformal set.
        certain_margin: the least lead of the most probable emotion over the second with which a prediction is
            certain; None where none was fitted.
    """

    name: str
    labels: tuple[str, ...]
    abstain: tuple[str, ...] = ()
    temperature: float = 1.0
    conformal: dict[str, float] = field(default_factory=dict)
    certain_margin: float | None = None


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
    what one face takes on one core, and the machine that it was timed on.
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
    notes: tuple[str, ...] = ()
    format: int = 1

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
    """The card stored in a JSON file.

    Raises:
        CardError: the file is missing, is not JSON, or lacks a field or has one too many.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        heads = tuple(
            Head(**{**head, "labels": tuple(head["labels"]), "abstain": tuple(head["abstain"])})
            for head in raw.pop("heads")
        )
        framing = raw.pop("framing")
        return Card(
            heads=heads,
            framing=Framing(**framing) if framing else None,
            notes=tuple(raw.pop("notes", ())),
            **raw,
        )
    except FileNotFoundError:
        raise CardError(
            f"{path} is missing. A model travels with its card: export it again with `mien export`."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CardError(f"{path} is not a card of this version of mien: {error!r}.") from error


def without_folders(source: str) -> str:
    """Where data was read from, without the folders of the machine: a card travels.

    >>> without_folders("/home/me/fer2013.tar.gz: fer2013/fer2013.csv")
    'fer2013.tar.gz: fer2013/fer2013.csv'
    """
    file, separator, member = source.partition(": ")
    return re.split(r"[\\/]", file.rstrip("\\/"))[-1] + separator + member
