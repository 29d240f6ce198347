"""An exported model calibrated and measured, and its card completed with what came out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.models.card import Card, without_folders

if TYPE_CHECKING:
    from mien.evaluation.calibration.temperature import Calibration, CrossValidated
    from mien.evaluation.metrics.calibration import CoverageCurve
    from mien.evaluation.predictions import Predictions
    from mien.evaluation.result import Evaluation
    from mien.models.classifier import Classifier

# What each head was trained to say, and so is calibrated and scored against.
LABELS: dict[str, Literal["fer2013", "ferplus"]] = {"fer2013": "fer2013", "votes": "ferplus"}

# The points of the curve of accuracy against coverage that a card keeps: one a percent.
_POINTS = 100


class OnDisk(Protocol):
    """A model and its card: just exported, or one that ships."""

    @property
    def onnx(self) -> Path: ...

    @property
    def card(self) -> Card: ...


@dataclass(frozen=True, eq=False)
class MeasuredHead:
    """One head's calibration, and its scores on the whole split with the temperature in place.

    Attributes:
        calibration: fitted on one half of the faces that are not in Training, measured on the other.
        cross_validated: the same over many random halves.
        evaluation: its scores, one forward pass.
        curve: accuracy against coverage on the faces that are not in Training.
        augmented: its scores with test-time augmentation; None where that was not asked for.
    """

    calibration: Calibration
    cross_validated: CrossValidated
    evaluation: Evaluation
    curve: CoverageCurve
    augmented: Evaluation | None = None


def measurable_heads(card: Card, table: FaceTable) -> tuple[str, ...]:
    """The heads for which the table holds the truth: votes need votes."""
    return tuple(
        head.name for head in card.heads if LABELS[head.name] == "fer2013" or table.votes is not None
    )


def measure(
    model: OnDisk, table: FaceTable, split: str, *, tta: bool = False, tell: Callable[[str], None]
) -> dict[str, MeasuredHead]:
    """Each measurable head's calibration and scores on a split; `tell` hears which is at work.

    Temperature and conformal thresholds are fitted on one half of the split's faces that are not in
    Training, and measured on the other half. With `tta` each face is looked at ten times more, for a second
    set of scores.

    Raises:
        UsageError: too few labelled faces.
    """
    from mien.evaluation.predictions import predict_split
    from mien.models.onnx import OnnxClassifier
    from mien.models.tta import TtaClassifier

    measured = {}
    for name in measurable_heads(model.card, table):
        tell(f"Measuring head {name} of {model.card.name} on {split}")
        classifier = _Uncalibrated(OnnxClassifier(model.onnx, head=name, device="cpu"))
        predictions = predict_split(classifier, table, split, head=name, labels=LABELS[name])
        found = _measure_head(predictions, classifier, table)
        if tta:
            tell(f"Measuring head {name} of {model.card.name} on ten views of each face of {split}")
            warm = _Uncalibrated(classifier.model, found.calibration.temperature)
            several = predict_split(TtaClassifier(warm), table, split, head=name, labels=LABELS[name])
            found = dataclasses.replace(found, augmented=_evaluation(several, table, several=True))
        measured[name] = found
    return measured


def completed_card(
    card: Card, split: str, measured: dict[str, MeasuredHead], latency: dict[str, Any] | None = None
) -> Card:
    """The card with temperatures, thresholds, the split's figures, and the latency where it is given.

    The figures of a split hold by head what `mien evaluate --json` writes (docs/evaluation.md); and by head
    under ``calibration`` what `Calibration` holds, under ``cross_validated`` its `CrossValidated`,
    under ``coverage`` points of the curve of accuracy against coverage, and under ``tta``, where it was
    measured, the scores with test-time augmentation.
    """
    from mien.exporting.card import with_measurements

    figures: dict[str, Any] = {name: head.evaluation.to_dict() for name, head in measured.items()}
    figures["calibration"] = {name: dataclasses.asdict(head.calibration) for name, head in measured.items()}
    figures["cross_validated"] = {
        name: dataclasses.asdict(head.cross_validated) for name, head in measured.items()
    }
    figures["coverage"] = {name: curve_points(head.curve) for name, head in measured.items()}
    if several := {name: _short(head.augmented) for name, head in measured.items() if head.augmented}:
        figures["tta"] = several
    return with_measurements(
        card,
        temperatures={name: head.calibration.temperature for name, head in measured.items()},
        conformal={
            name: {f"{fit.coverage:.2f}": fit.threshold for fit in head.calibration.conformal}
            for name, head in measured.items()
        },
        figures={split: figures},
        latency=latency,
    )


def curve_points(curve: CoverageCurve) -> dict[str, Any]:
    """A curve as a card keeps it: about a point a percent, the last of them all faces."""
    n = len(curve.coverage)
    places = np.unique(np.ceil(np.arange(1, _POINTS + 1) * n / _POINTS).astype(int) - 1)
    return {
        "n": n,
        "coverage": [round(float(value), 4) for value in curve.coverage[places]],
        "accuracy": [round(float(value), 4) for value in curve.accuracy[places]],
        "confidence": [round(float(value), 4) for value in curve.confidence[places]],
    }


class _Uncalibrated:
    """The softmax of a model's logits over a temperature of our own, whatever its card says.

    So that what is measured is the same whether the card was calibrated before or not.
    """

    def __init__(self, model: Any, temperature: float = 1.0) -> None:
        self.model, self.temperature = model, temperature
        self.name: str = model.name
        self.labels: tuple[str, ...] = model.labels

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        scaled = self.model.logits(crops) / np.float32(self.temperature)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True, eq=False)
class _Judged:
    """N faces that are not in Training, to calibrate on.

    Attributes:
        probabilities: (N, C) without a temperature.
        truth: (N,) classes; -1 where the voters have no majority.
        keys: (N,) `FaceTable.pixel_keys`.
        voters: (N, C) their shares; None for labels.
    """

    probabilities: NDArray[np.float32]
    truth: NDArray[np.int64]
    keys: NDArray[np.bytes_]
    voters: NDArray[np.float64] | None


def _measure_head(predictions: Predictions, classifier: Classifier, table: FaceTable) -> MeasuredHead:
    from mien.evaluation.calibration.temperature import calibrate, cross_validate_temperature, split_half
    from mien.evaluation.metrics.calibration import coverage_curve
    from mien.probabilities import tempered

    # The same numbers whenever the same model is exported again.
    generator = np.random.default_rng(0)
    judged = _judged(predictions, classifier, table)
    calibration = calibrate(
        judged.probabilities, judged.truth, split_half(judged.keys), generator, voters=judged.voters
    )
    truth = judged.truth if judged.voters is None else judged.voters
    cross_validated = cross_validate_temperature(judged.probabilities, truth, judged.keys, generator)
    calibrated = dataclasses.replace(
        predictions,
        probabilities=tempered(predictions.probabilities, calibration.temperature).astype(np.float32),
    )
    fresh = _fresh(predictions)
    return MeasuredHead(
        calibration,
        cross_validated,
        _evaluation(calibrated, table),
        coverage_curve(calibrated.probabilities[fresh], calibrated.truth[fresh]),
    )


def _judged(predictions: Predictions, classifier: Classifier, table: FaceTable) -> _Judged:
    """The faces to calibrate on; for votes also those with votes for emotions but no majority."""
    from mien.data.table import not_in
    from mien.data.votes import NO_MAJORITY, majority, vote_shares
    from mien.emotions import FERPLUS
    from mien.evaluation.predictions import TRAINING, align
    from mien.models.classifier import classify

    p, fresh = predictions, _fresh(predictions)
    probabilities, truth, faces = p.probabilities[fresh], p.truth[fresh], p.faces.take(fresh)
    split = table.split(p.split)
    if p.labels != "ferplus" or faces.votes is None or split.votes is None:
        return _Judged(probabilities, truth, faces.pixel_keys, None)
    divided = (majority(split.votes) == NO_MAJORITY) & (vote_shares(split.votes).sum(axis=1) > 0)
    if p.split != TRAINING:
        divided &= not_in(split, table.take(table.splits == TRAINING))
    others = split.take(divided)
    return _Judged(
        np.concatenate(
            [probabilities, align(classify(classifier, others.pixels), classifier.labels, FERPLUS)]
        ),
        np.concatenate([truth, np.full(len(others), NO_MAJORITY)]),
        np.concatenate([faces.pixel_keys, others.pixel_keys]),
        vote_shares(np.concatenate([faces.votes, split.votes[divided]])),
    )


def _fresh(predictions: Predictions) -> NDArray[np.bool_]:
    """Which faces are not in Training; all where that is not known."""
    fresh = predictions.not_in_training
    return np.ones(len(predictions.truth), bool) if fresh is None else fresh


def _evaluation(predictions: Predictions, table: FaceTable, *, several: bool = False) -> Evaluation:
    from mien.evaluation.result import DataSource, score_predictions
    from mien.models.tta import TtaCrops

    return score_predictions(
        predictions,
        np.random.default_rng(0),
        data=DataSource(without_folders(table.source), table.sha256),
        tta=TtaCrops() if several else None,
    )


def _short(evaluation: Evaluation) -> dict[str, Any]:
    """Of an evaluation with several views of each face: the scores that differ from those of one."""
    scores, fresh = evaluation.scores, evaluation.deduplicated
    return {
        "accuracy": scores.accuracy,
        "accuracy_ci95": list(scores.accuracy_ci95),
        "macro_f1": scores.macro_f1,
        "macro_f1_ci95": list(scores.macro_f1_ci95),
        "n": scores.n,
        "deduplicated": fresh and {"accuracy": fresh.accuracy, "accuracy_ci95": list(fresh.accuracy_ci95)},
        **(evaluation.tta.to_dict() if evaluation.tta else {}),
    }
