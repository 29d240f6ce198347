"""An exported model calibrated and measured, and its card completed with what came out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mien.card import Card
from mien.data.table import FaceTable

if TYPE_CHECKING:
    from mien.evaluate.calibration import Calibration
    from mien.evaluate.predictions import Predictions
    from mien.evaluate.report import Evaluation
    from mien.export.run import Exported

# What each head was trained to say, and so is calibrated and scored against.
_LABELS: dict[str, Literal["fer2013", "ferplus"]] = {"fer2013": "fer2013", "votes": "ferplus"}


@dataclass(frozen=True, eq=False)
class MeasuredHead:
    """One head's calibration, and its scores on the whole split with the temperature in place."""

    calibration: Calibration
    evaluation: Evaluation


def measurable_heads(card: Card, table: FaceTable) -> tuple[str, ...]:
    """The heads for which the table holds the truth: votes need votes."""
    return tuple(
        head.name for head in card.heads if _LABELS[head.name] == "fer2013" or table.votes is not None
    )


def measure(
    exported: Exported, table: FaceTable, split: str, *, tell: Callable[[str], None]
) -> dict[str, MeasuredHead]:
    """Each measurable head's calibration and scores on a split; `tell` hears which is at work.

    Temperature and conformal thresholds are fitted on one half of the split's faces that are not in
    Training, and measured on the other half.

    Raises:
        UsageError: too few labelled faces.
    """
    from mien.analyze.classifier import OnnxClassifier
    from mien.evaluate.predictions import predict_split

    measured = {}
    for name in measurable_heads(exported.card, table):
        tell(f"Measuring head {name} of {exported.card.name} on {split}")
        classifier = OnnxClassifier(exported.onnx, head=name, device="cpu")
        predictions = predict_split(classifier, table, split, head=name, labels=_LABELS[name])
        measured[name] = _measure_head(predictions, table)
    return measured


def completed_card(card: Card, split: str, measured: dict[str, MeasuredHead]) -> Card:
    """The card with temperatures, thresholds and the split's figures.

    The figures of a split hold by head what `mien evaluate --json` writes (docs/evaluation.md), and under
    ``calibration``, by head, what `mien.evaluate.calibration.Calibration` holds.
    """
    from mien.export.cards import with_measurements

    figures: dict[str, Any] = {name: head.evaluation.to_dict() for name, head in measured.items()}
    figures["calibration"] = {name: dataclasses.asdict(head.calibration) for name, head in measured.items()}
    return with_measurements(
        card,
        temperatures={name: head.calibration.temperature for name, head in measured.items()},
        conformal={
            name: {f"{fit.coverage:.2f}": fit.threshold for fit in head.calibration.conformal}
            for name, head in measured.items()
        },
        figures={split: figures},
    )


def _measure_head(predictions: Predictions, table: FaceTable) -> MeasuredHead:
    from mien.evaluate.calibration import calibrate, halves, tempered
    from mien.evaluate.report import DataSource, evaluate
    from mien.evaluate.votes import shares

    # The same numbers whenever the same model is exported again.
    generator = np.random.default_rng(0)
    fresh = predictions.fresh
    if fresh is None:
        fresh = np.ones(len(predictions.truth), bool)
    votes = predictions.faces.votes if predictions.labels == "ferplus" else None
    calibration = calibrate(
        predictions.probabilities[fresh],
        predictions.truth[fresh],
        halves(predictions.faces.pixel_keys[fresh]),
        generator,
        voters=None if votes is None else shares(votes[fresh]),
    )
    calibrated = dataclasses.replace(
        predictions,
        probabilities=tempered(predictions.probabilities, calibration.temperature).astype(np.float32),
    )
    source = DataSource(table.source, table.sha256)
    return MeasuredHead(calibration, evaluate(calibrated, generator, data=source))
