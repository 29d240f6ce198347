"""An exported model calibrated and measured, and its card completed with what came out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable, not_in
from mien.data.votes import NO_MAJORITY, majority, vote_shares
from mien.evaluation.calibration.combination import (
    CombinationFit,
    cross_validate_combination,
    fit_combination,
)
from mien.evaluation.calibration.temperature import (
    Calibration,
    CrossValidated,
    calibrate,
    cross_validate_temperature,
    split_half,
)
from mien.evaluation.metrics.calibration import CoverageCurve, coverage_curve
from mien.evaluation.predictions import TRAINING, Predictions, Targets, align, targets_of
from mien.evaluation.result import DataSource, Evaluation, score_predictions
from mien.exporting.card import with_combined_head, with_measurements
from mien.models.card import COMBINED, LABELS_OF_HEAD, Card, without_folders
from mien.models.classifier import classify_heads
from mien.models.combination import Combination
from mien.models.onnx import OnnxModel
from mien.models.registry import ModelFile
from mien.models.tta import TtaCrops, TtaModel
from mien.probabilities import tempered

# The points of the curve of accuracy against coverage that a card keeps: one per percent.
_POINTS = 100


@dataclass(frozen=True, eq=False)
class MeasuredHead:
    """One head's calibration, and its scores on the whole split with the temperature in place.

    Attributes:
        calibration: fitted on one half of the faces that are not in Training, measured on the other.
        cross_validated: the same over many random halves.
        evaluation: its scores, one forward pass.
        curve: accuracy against coverage on the faces that are not in Training.
        augmented: its scores with test-time augmentation; None where that was not measured.
        combination: how a combined head is computed, and what it reaches on the labels; None for other heads.
    """

    calibration: Calibration
    cross_validated: CrossValidated
    evaluation: Evaluation
    curve: CoverageCurve
    augmented: Evaluation | None = None
    combination: tuple[Combination, CombinationFit] | None = None


def measurable_heads(card: Card, table: FaceTable) -> tuple[str, ...]:
    """The heads for which the table holds the truth: votes need votes."""
    return tuple(
        head.name
        for head in card.network_heads
        if LABELS_OF_HEAD[head.name] == "fer2013" or table.votes is not None
    )


def measure(
    model: ModelFile, table: FaceTable, split: str, *, tta: bool = False, progress: Callable[[str], None]
) -> dict[str, MeasuredHead]:
    """Each measurable head's calibration and scores on a split; `progress` is called with what is at work.

    Where both heads can be measured, so is the head that combines them; its biases are fitted on the split's
    labelled faces that are not in Training.

    Temperature and conformal thresholds are fitted on one half of the split's faces that are not in
    Training, and measured on the other half. With `tta`, ten crops of each face are predicted for a second
    set of scores.

    Raises:
        UsageError: too few labelled faces.
    """
    faces = table.split(split)
    # Without temperatures, so that the same is measured whether or not the card was calibrated before.
    opened = OnnxModel(model.onnx, device="cpu").recalibrated({})
    progress(f"measuring {opened.name} on {split}")
    given = classify_heads(opened, faces.pixels)
    measured, targets = {}, {}
    for name in measurable_heads(model.card, table):
        labels = opened.heads[name]
        t = targets[name] = targets_of(table, split, labels, model=opened.name, labels=LABELS_OF_HEAD[name])
        predictions = t.predictions(given[name][t.indices], labels, model=opened.name, head=name)
        measured[name] = _measure_head(predictions, align(given[name], labels, t.classes), table, t.indices)
    if tta:
        progress(f"measuring {opened.name} on ten crops of each face of {split}")
        warm = {name: head.calibration.temperature for name, head in measured.items()}
        several = classify_heads(TtaModel(opened.recalibrated(warm)), faces.pixels)
        for name, t in targets.items():
            averaged = t.predictions(
                several[name][t.indices], opened.heads[name], model=opened.name, head=name
            )
            augmented = _evaluation(averaged, table, tta=TtaCrops())
            measured[name] = dataclasses.replace(measured[name], augmented=augmented)
    if set(targets) >= {"fer2013", "votes"} and set(targets["fer2013"].classes) == set(
        opened.heads["fer2013"]
    ):
        measured[COMBINED] = _measure_combined(opened, given, targets, measured, table)
    return measured


def _measure_combined(
    model: OnnxModel,
    given: dict[str, NDArray[np.float32]],
    targets: dict[str, Targets],
    measured: dict[str, MeasuredHead],
    table: FaceTable,
) -> MeasuredHead:
    """The head that combines both others, fitted and measured; `given` are their probabilities (M, C)."""
    names = ("votes", "fer2013")
    votes, labels = (tempered(given[name], measured[name].calibration.temperature) for name in names)
    columns, emotions = (model.heads[name] for name in names)
    t = targets["fer2013"]
    indices, truth, faces = t.indices, np.array([emotions.index(c) for c in t.classes])[t.truth], t.faces
    if t.not_in_training is not None:
        kept = t.not_in_training
        indices, truth, faces = indices[kept], truth[kept], faces.take(kept)
    pair = (align(votes[indices], columns, emotions), labels[indices])
    combination = fit_combination(*pair, truth, emotions, names)
    fit = cross_validate_combination(
        *pair, truth, faces.pixel_keys, emotions, names, np.random.default_rng(0)
    )
    combined, t = combination.apply(votes, labels, columns), targets["votes"]
    predictions = t.predictions(combined[t.indices], columns, model=model.name, head=COMBINED)
    head = _measure_head(
        predictions,
        align(combined, columns, t.classes),
        table,
        t.indices,
        votes=align(votes, columns, t.classes),
    )
    return dataclasses.replace(head, combination=(combination, fit))


def completed_card(
    card: Card, split: str, measured: dict[str, MeasuredHead], latency: dict[str, Any] | None = None
) -> Card:
    """The card with temperatures, thresholds, the split's figures, and the latency where it is given.

    The figures of a split hold by head what `mien evaluate --json` writes (docs/evaluation.md); and by head
    under ``calibration`` what `Calibration` holds, under ``cross_validated`` its `CrossValidated`,
    under ``coverage`` points of the curve of accuracy against coverage, under ``tta``, where it was
    measured, the scores with test-time augmentation, and under ``combination`` the `CombinationFit`.
    A combined head that was measured becomes the card's last head and its default.
    """
    for name, head in measured.items():
        if head.combination is not None:
            card = with_combined_head(card, name, head.combination[0])
    figures: dict[str, Any] = {name: head.evaluation.to_dict() for name, head in measured.items()}
    figures["calibration"] = {name: dataclasses.asdict(head.calibration) for name, head in measured.items()}
    figures["cross_validated"] = {
        name: dataclasses.asdict(head.cross_validated) for name, head in measured.items()
    }
    figures["coverage"] = {name: curve_points(head.curve) for name, head in measured.items()}
    if several := {name: _short(head.augmented) for name, head in measured.items() if head.augmented}:
        figures["tta"] = several
    for head in measured.values():
        if head.combination is not None:
            figures["combination"] = dataclasses.asdict(head.combination[1])
    return with_measurements(
        card,
        temperatures={name: head.calibration.temperature for name, head in measured.items()},
        conformal={
            name: {f"{fit.coverage:.2f}": fit.threshold for fit in head.calibration.conformal}
            for name, head in measured.items()
        },
        certain_margins={name: head.calibration.uncertainty.margin for name, head in measured.items()},
        figures={split: figures},
        latency=latency,
    )


def curve_points(curve: CoverageCurve) -> dict[str, Any]:
    """A curve as a card keeps it: about one point per percent, the last of them all faces."""
    n = len(curve.coverage)
    indices = np.unique(np.ceil(np.arange(1, _POINTS + 1) * n / _POINTS).astype(int) - 1)
    return {
        "n": n,
        "coverage": [round(float(value), 4) for value in curve.coverage[indices]],
        "accuracy": [round(float(value), 4) for value in curve.accuracy[indices]],
        "confidence": [round(float(value), 4) for value in curve.confidence[indices]],
    }


@dataclass(frozen=True, eq=False)
class _CalibrationFaces:
    """N faces that are not in Training, to calibrate on.

    Attributes:
        probabilities: (N, C) without a temperature.
        truth: (N,) classes; -1 where the voters have no majority.
        keys: (N,) `FaceTable.pixel_keys`.
        voters: (N, C) their shares; None for labels.
        votes: (N, C) of a combined head, what the votes' head predicts; None for other heads.
    """

    probabilities: NDArray[np.float32]
    truth: NDArray[np.int64]
    keys: NDArray[np.bytes_]
    voters: NDArray[np.float64] | None
    votes: NDArray[np.float32] | None


def _measure_head(
    predictions: Predictions,
    probabilities: NDArray[np.float32],
    table: FaceTable,
    indices: NDArray[np.intp],
    votes: NDArray[np.float32] | None = None,
) -> MeasuredHead:
    """One head measured.

    `probabilities` and `votes` (M, C) are of all M faces of the split, `indices` (N,) those that are scored.
    """
    # The same numbers whenever the same model is exported again.
    generator = np.random.default_rng(0)
    faces = _calibration_faces(predictions, probabilities, table, indices, votes)
    calibration = calibrate(
        faces.probabilities,
        faces.truth,
        split_half(faces.keys),
        generator,
        voters=faces.voters,
        votes=faces.votes,
    )
    truth = faces.truth if faces.voters is None else faces.voters
    cross_validated = cross_validate_temperature(faces.probabilities, truth, faces.keys, generator)
    calibrated = dataclasses.replace(
        predictions,
        probabilities=tempered(predictions.probabilities, calibration.temperature).astype(np.float32),
    )
    unseen = _not_in_training(predictions)
    return MeasuredHead(
        calibration,
        cross_validated,
        _evaluation(calibrated, table),
        coverage_curve(calibrated.probabilities[unseen], calibrated.truth[unseen]),
    )


def _calibration_faces(
    predictions: Predictions,
    whole: NDArray[np.float32],
    table: FaceTable,
    indices: NDArray[np.intp],
    votes: NDArray[np.float32] | None,
) -> _CalibrationFaces:
    """The faces to calibrate on; for votes also those with votes for emotions but no majority."""
    p, unseen = predictions, _not_in_training(predictions)
    probabilities, truth, faces = p.probabilities[unseen], p.truth[unseen], p.faces.take(unseen)
    split = table.split(p.split)
    if p.labels != "ferplus" or faces.votes is None or split.votes is None:
        return _CalibrationFaces(probabilities, truth, faces.pixel_keys, None, None)
    divided = (majority(split.votes) == NO_MAJORITY) & (vote_shares(split.votes).sum(axis=1) > 0)
    if p.split != TRAINING:
        divided &= not_in(split, table.take(table.splits == TRAINING))
    others = split.take(divided)
    return _CalibrationFaces(
        np.concatenate([probabilities, whole[divided]]),
        np.concatenate([truth, np.full(len(others), NO_MAJORITY)]),
        np.concatenate([faces.pixel_keys, others.pixel_keys]),
        vote_shares(np.concatenate([faces.votes, split.votes[divided]])),
        None if votes is None else np.concatenate([votes[indices][unseen], votes[divided]]),
    )


def _not_in_training(predictions: Predictions) -> NDArray[np.bool_]:
    """Which faces are not in Training; all where that is not known."""
    unseen = predictions.not_in_training
    return np.ones(len(predictions.truth), bool) if unseen is None else unseen


def _evaluation(predictions: Predictions, table: FaceTable, *, tta: TtaCrops | None = None) -> Evaluation:
    source = DataSource(without_folders(table.source), table.sha256)
    return score_predictions(predictions, np.random.default_rng(0), data=source, tta=tta)


def _short(evaluation: Evaluation) -> dict[str, Any]:
    """Of an evaluation with test-time augmentation: the scores that differ from those without."""
    scores, unseen = evaluation.scores, evaluation.deduplicated
    return {
        "accuracy": scores.accuracy,
        "accuracy_ci95": list(scores.accuracy_ci95),
        "macro_f1": scores.macro_f1,
        "macro_f1_ci95": list(scores.macro_f1_ci95),
        "n": scores.n,
        "deduplicated": unseen and {"accuracy": unseen.accuracy, "accuracy_ci95": list(unseen.accuracy_ci95)},
        **(evaluation.tta.to_dict() if evaluation.tta else {}),
    }
