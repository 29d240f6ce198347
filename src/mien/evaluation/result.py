"""The result of an evaluation: its scores, where they come from, and the files that hold them.

The schema of the JSON is documented in docs/evaluation.md and pinned by a test.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien.data.table import BadRow
from mien.emotions import FERPLUS
from mien.errors import UsageError
from mien.evaluation.extended import ExtendedScores
from mien.evaluation.metrics.votes import VoteScores, score_votes
from mien.evaluation.predictions import Predictions, align
from mien.evaluation.scores import Scores, score
from mien.files import csv_text, write_atomically
from mien.models.tta import TtaCrops


@dataclass(frozen=True)
class DataSource:
    """The data that was read: where from, and the hash of its table (`FaceTable.sha256`)."""

    source: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A classifier's scores on one split, and what is needed to repeat them.

    Attributes:
        scores: on every labelled face of the split.
        deduplicated: on those without a pixel-identical face in Training; None where there is no such face
            or the data has no Training faces to compare with.
        model: name of the classifier.
        head: which of its heads was scored.
        labels: ``"fer2013"`` (the labels of the data) or ``"ferplus"`` (the majority of its votes).
        split: name of the split.
        data: what was read.
        left_out: reason to number of faces that could not be scored.
        votes: scores against the FER+ votes, where there are any.
        tta: the crops of each face over which probabilities were averaged; None without such augmentation.
        predictions: what was scored.
        extended: what was measured beyond these scores; None where nothing was.
        applied_temperature: the temperature that the probabilities hold; 1 where it cannot be taken out.
        problems: what was wrong with the data.
    """

    scores: Scores
    deduplicated: Scores | None
    model: str
    head: str
    labels: str
    split: str
    data: DataSource
    left_out: dict[str, int]
    predictions: Predictions
    votes: VoteScores | None = None
    tta: TtaCrops | None = None
    extended: ExtendedScores | None = None
    applied_temperature: float = 1.0
    problems: tuple[BadRow, ...] = ()

    def __repr__(self) -> str:
        low, high = self.scores.accuracy_ci95
        text = (
            f"<Evaluation of {self.model} on {self.split}, {self.scores.n:,} faces: "
            f"accuracy {self.scores.accuracy:.1%} ({100 * low:.1f} to {100 * high:.1f}), "
            f"macro F1 {self.scores.macro_f1:.1%}"
        )
        if self.deduplicated is not None:
            text += f"; not in Training ({self.deduplicated.n:,}): {self.deduplicated.accuracy:.1%}"
        if self.votes is not None:
            text += f"; FER+ majority ({self.votes.n:,}): {self.votes.accuracy:.1%}"
        return text + ">"

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain values for JSON, by the schema of docs/evaluation.md."""
        return {
            **self.scores.to_dict(),
            "deduplicated": None if self.deduplicated is None else self.deduplicated.to_dict(),
            "votes": None if self.votes is None else _plain(self.votes),
            "model": self.model,
            "head": self.head,
            "labels": self.labels,
            "split": self.split,
            "data": dataclasses.asdict(self.data),
            "left_out": dict(self.left_out),
            "tta": None if self.tta is None else self.tta.to_dict(),
            "mien": mien.__version__,
            **({} if self.extended is None else self.extended.to_dict()),
        }


def score_predictions(
    predictions: Predictions,
    generator: np.random.Generator,
    *,
    data: DataSource,
    voted: Predictions | None = None,
    tta: TtaCrops | None = None,
    resamples: int = 2000,
) -> Evaluation:
    """The scores of predictions for one split.

    `voted` are the predictions against the FER+ majority (`labels="ferplus"`), for the scores against the
    votes; predictions that are of that kind themselves need no second. `tta` are the crops over which they
    were averaged. The generator draws the bootstrap resamples; the same seed gives the same intervals.
    """
    p = predictions
    unseen = p.not_in_training if p.not_in_training is not None and p.not_in_training.any() else None
    voted = p if p.labels == "ferplus" else voted
    return Evaluation(
        scores=_score(p, generator, resamples),
        deduplicated=None if unseen is None else _score(p.take(unseen), generator, resamples),
        model=p.model,
        head=p.head,
        labels=p.labels,
        split=p.split,
        data=data,
        left_out=dict(p.left_out),
        votes=None if voted is None else _score_votes(voted, generator, resamples),
        predictions=p,
        tta=tta,
    )


def _score(p: Predictions, generator: np.random.Generator, resamples: int) -> Scores:
    return score(p.probabilities, p.truth, p.classes, generator, resamples=resamples, subjects=p.subjects)


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write the evaluation's JSON, whole or not at all.

    Raises:
        UsageError: the path cannot be written.
    """
    text = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    _write(path, text + "\n")


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write one CSV row per face: source row, file name if any, truth, prediction, and every probability.

    `in_training` is 1 for a pixel-duplicate of a Training face, 0 for none, empty where that is not known;
    `subject` is the person on the face, empty where nobody is known. docs/evaluation.md has all columns.

    Raises:
        UsageError: the path cannot be written.
    """
    p = predictions
    columns = [
        "row",
        "name",
        "split",
        "truth",
        "predicted",
        "confidence",
        "in_training",
        "subject",
        *p.classes,
    ]
    people = p.subjects
    top = p.probabilities.argmax(axis=1)
    rows = (
        [
            p.faces.rows[i],
            "" if p.faces.names is None else p.faces.names[i],
            p.split,
            p.classes[p.truth[i]],
            p.classes[top[i]],
            # Nine digits bring a float32 back exactly.
            f"{probabilities[top[i]]:.9g}",
            "" if p.not_in_training is None else int(not p.not_in_training[i]),
            "" if people is None else people[i],
            *(f"{value:.9g}" for value in probabilities),
        ]
        for i, probabilities in enumerate(p.probabilities)
    )
    _write(path, csv_text(columns, rows))


def _score_votes(voted: Predictions, generator: np.random.Generator, resamples: int) -> VoteScores | None:
    """The scores against the votes; None where the faces carry none."""
    if voted.faces.votes is None:
        return None
    emotions = align(voted.probabilities, voted.classes, FERPLUS)
    return score_votes(emotions, voted.faces.votes, generator, resamples=resamples, head=voted.head)


def _plain(votes: VoteScores) -> dict[str, Any]:
    """The vote scores as plain values for JSON."""
    return {**dataclasses.asdict(votes), "accuracy_ci95": list(votes.accuracy_ci95)}


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error
