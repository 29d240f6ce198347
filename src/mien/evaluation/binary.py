"""Binary tasks: the probabilities of seven or eight emotions as those of one yes-or-no question."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.emotions import NEITHER, BinaryTask
from mien.errors import UsageError
from mien.evaluation.metrics.classification import precision_recall, roc
from mien.evaluation.predictions import Predictions
from mien.evaluation.scores import Scores, score


@dataclass(frozen=True, eq=False)
class BinaryScores:
    """The scores of a binary task, by the sum of the probabilities on each side.

    Attributes:
        name: of the task.
        classes: the two classes, that of the question last.
        scores: all scores of the two classes; the prediction is yes from a probability of one half.
        roc_auc: area below the ROC curve of the probability of yes.
        average_precision: area below its precision-recall curve.
        baseline: accuracy of always predicting the more frequent class.
        left_out: emotion to number of faces that are on neither side.
    """

    name: str
    classes: tuple[str, str]
    scores: Scores
    roc_auc: float
    average_precision: float
    baseline: float
    left_out: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain values for JSON, by the schema of docs/evaluation.md."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields.pop("scores")
        return {**fields, "classes": list(self.classes), **self.scores.to_dict()}


def as_binary(predictions: Predictions, task: BinaryTask) -> Predictions:
    """The predictions for a binary task: two columns, rows sum to 1.

    A side's probability is the sum of its emotions' over that of both sides. Faces whose true emotion is on
    neither side are left out and counted in `left_out`.

    Raises:
        UsageError: the model or the faces know nothing of one of the sides.
    """
    p = predictions
    sides = np.array(task.sides(p.classes))
    true = sides[p.truth]
    for side, name in enumerate(task.classes):
        if not (sides == side).any() or not (true == side).any():
            raise UsageError(
                f"task {task.name!r} needs faces that are {name}, and {p.faces.source or 'the data'} "
                f"has none in {p.split}. Its classes: {', '.join(p.classes)}."
            )
    kept = true != NEITHER
    given = p.probabilities[kept].astype(np.float64)
    two = np.stack([given[:, sides == side].sum(axis=1) for side in (0, 1)], axis=1)
    totals = two.sum(axis=1, keepdims=True)
    # A face with a probability of 0 on both sides gets one half on each, which is no.
    halves = np.divide(two, totals, out=np.full_like(two, 0.5), where=totals > 0).astype(np.float32)
    outside = {p.classes[i]: int((p.truth == i).sum()) for i in np.flatnonzero(sides == NEITHER)}
    return dataclasses.replace(
        p,
        classes=task.classes,
        probabilities=halves,
        truth=true[kept],
        faces=p.faces.take(kept),
        not_in_training=None if p.not_in_training is None else p.not_in_training[kept],
        left_out={**p.left_out, **{name: count for name, count in outside.items() if count}},
    )


def score_binary(
    predictions: Predictions,
    task: BinaryTask,
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
) -> BinaryScores:
    """The scores of a binary task, from the same probabilities as all other scores.

    Raises:
        UsageError: the model or the faces know nothing of one of the sides.
    """
    two = as_binary(predictions, task)
    positive, chance = two.truth == 1, two.probabilities[:, 1]
    return BinaryScores(
        name=task.name,
        classes=task.classes,
        scores=score(
            two.probabilities,
            two.truth,
            task.classes,
            generator,
            resamples=resamples,
            subjects=two.subjects,
        ),
        roc_auc=roc(chance, positive).auc,
        average_precision=precision_recall(chance, positive).average_precision,
        baseline=float(max(positive.mean(), 1 - positive.mean())),
        left_out={name: count for name, count in two.left_out.items() if name not in predictions.left_out},
    )
