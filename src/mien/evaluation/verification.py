"""Whether the figures on a model's card are reproduced when they are measured again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.data.table import FaceTable
from mien.evaluation.predictions import Predictions, targets_of
from mien.evaluation.result import DataSource, score_predictions
from mien.models.card import LABELS_OF_HEAD, Card
from mien.models.classifier import classify_heads
from mien.models.onnx import OnnxModel
from mien.models.registry import ModelFile
from mien.progress import Progress, counter

_INTERVAL = "_ci95"


@dataclass(frozen=True)
class Check:
    """One figure of a card beside the one that was measured now.

    Attributes:
        figure: where it stands in the scores, such as ``"deduplicated.macro_f1"``.
        card: the card's value; None where the card has none.
        interval: the card's 95 % interval; None where it has none.
        measured: the value now; None where these faces do not allow to measure it.
    """

    figure: str
    card: float | None
    interval: tuple[float, float] | None
    measured: float | None

    @property
    def reproduced(self) -> bool:
        """Whether the value lies within the interval of the card, and so does the card's own value."""
        if self.interval is None or self.card is None or self.measured is None:
            return False
        low, high = self.interval
        return low <= self.measured <= high and low <= self.card <= high


@dataclass(frozen=True)
class Verified:
    """One head of one model on one split.

    Attributes:
        claimed: whether the card has figures for it.
        same_faces: whether the card's figures are of data with the same hash.
    """

    model: str
    split: str
    head: str
    faces: int
    claimed: bool
    same_faces: bool
    checks: tuple[Check, ...]


def verify_model(
    model: ModelFile, table: FaceTable, splits: Sequence[str], *, progress: Progress | None = None
) -> list[Verified]:
    """Each split and head of a model that the table has labels for, measured again; one pass per split.

    Raises:
        CardError, ModelError: the model cannot be opened.
        DataError, UsageError: the table lacks a split, or no face of it can be scored.
    """
    opened = OnnxModel(model.onnx, device="cpu")
    done = []
    for split in splits:
        faces = table.split(split)
        advance = counter(progress, f"{opened.name} on {split}", len(faces))
        given = classify_heads(opened, faces.pixels, progress=advance)
        for head, columns in opened.heads.items():
            labels = LABELS_OF_HEAD[head]
            if labels == "ferplus" and table.votes is None:
                continue
            targets = targets_of(table, split, columns, model=opened.name, labels=labels)
            predictions = targets.predictions(
                given[head][targets.indices], columns, model=opened.name, head=head
            )
            done.append(_verify_head(model.card, predictions, table))
    return done


def _verify_head(card: Card, predictions: Predictions, table: FaceTable) -> Verified:
    source = DataSource(table.source, table.sha256)
    measured = score_predictions(predictions, np.random.default_rng(0), data=source).to_dict()
    claim = card.figures.get(predictions.split, {}).get(predictions.head)
    return Verified(
        model=card.name,
        split=predictions.split,
        head=predictions.head,
        faces=len(predictions.truth),
        claimed=claim is not None,
        same_faces=claim is not None and claim.get("data", {}).get("sha256") == table.sha256,
        checks=tuple(check_figures(claim or {}, measured)),
    )


def check_figures(card: Mapping[str, Any], measured: Mapping[str, Any]) -> list[Check]:
    """A check of every figure that has an interval, in the card's scores of one head and split or in ours.

    Both are scores as `mien.evaluation.result.Evaluation.to_dict` gives them. A figure that only one of them
    has is a check, too.
    """
    claimed, found = dict(_with_intervals(card)), dict(_with_intervals(measured))
    return [
        Check(
            figure,
            claimed[figure][0] if figure in claimed else None,
            claimed[figure][1] if figure in claimed else None,
            found[figure][0] if figure in found else None,
        )
        for figure in dict.fromkeys([*claimed, *found])
    ]


def _with_intervals(
    scores: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, tuple[float, tuple[float, float]]]]:
    """Each figure that has an interval beside it: its path, value and interval."""
    for key, value in scores.items():
        if isinstance(value, Mapping):
            yield from _with_intervals(value, f"{path}{key}.")
        elif key.endswith(_INTERVAL):
            name = key.removesuffix(_INTERVAL)
            yield path + name, (float(scores[name]), (float(value[0]), float(value[1])))
