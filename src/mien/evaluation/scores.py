"""All scores of one set of predictions, as one record."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics import classification as metrics
from mien.evaluation.metrics.calibration import (
    adaptive_reliability,
    calibration_error,
    expected_calibration_noise,
)
from mien.evaluation.metrics.classification import Floats, Integers


@dataclass(frozen=True)
class ClassScore:
    """One class against the rest. A class without faces has support 0 and recall 0."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a classifier on n faces; docs/evaluation.md explains each.

    Attributes:
        per_class: name to its scores, in the order of the columns.
        confusion: counts (C, C), row the true class, column the predicted.
        subjects: how many people the intervals resample; None where faces are resampled, because the people
            are not known.
    """

    accuracy: float
    accuracy_ci95: tuple[float, float]
    macro_f1: float
    macro_f1_ci95: tuple[float, float]
    macro_precision: float
    macro_recall: float
    balanced_accuracy: float
    top2_accuracy: float
    ece: float
    ece_noise: float
    adaptive_ece: float
    nll: float
    brier: float
    n: int
    per_class: dict[str, ClassScore]
    confusion: NDArray[np.int64]
    subjects: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The part of the JSON's schema that stands both at its top and under `deduplicated`."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "accuracy_ci95": list(self.accuracy_ci95),
            "macro_f1_ci95": list(self.macro_f1_ci95),
            "per_class": {name: dataclasses.asdict(score) for name, score in self.per_class.items()},
            "confusion": {"labels": list(self.per_class), "counts": self.confusion.tolist()},
        }


def score(
    probabilities: Floats,
    truth: Integers,
    classes: tuple[str, ...],
    generator: np.random.Generator,
    *,
    resamples: int = 2000,
    subjects: NDArray[np.str_] | None = None,
) -> Scores:
    """All scores of probabilities (N, C) against true classes (N,), named by `classes`.

    With the `subjects` of the faces, (N,), the intervals resample people instead of faces.

    Raises:
        UsageError: no faces, or arrays that do not fit.
    """
    counts = metrics.confusion(probabilities, truth)
    precision, recall, f1 = metrics.precision(counts), metrics.recall(counts), metrics.f1(counts)
    rows = zip(classes, precision, recall, f1, metrics.support(counts), strict=True)
    by_subject = None if subjects is None else metrics.confusion_by_subject(probabilities, truth, subjects)
    interval = partial(
        metrics.bootstrap_interval, counts, generator=generator, resamples=resamples, by_subject=by_subject
    )
    return Scores(
        accuracy=float(metrics.accuracy(counts)),
        accuracy_ci95=interval(metrics.accuracy),
        macro_f1=float(metrics.macro_f1(counts)),
        macro_f1_ci95=interval(metrics.macro_f1),
        macro_precision=float(metrics.macro(precision, counts)),
        macro_recall=float(metrics.macro(recall, counts)),
        balanced_accuracy=float(metrics.balanced_accuracy(counts)),
        top2_accuracy=metrics.top_k_accuracy(probabilities, truth, 2),
        ece=calibration_error(probabilities, truth),
        ece_noise=expected_calibration_noise(probabilities, generator),
        adaptive_ece=adaptive_reliability(probabilities, truth).error,
        nll=metrics.negative_log_likelihood(probabilities, truth),
        brier=metrics.brier(probabilities, truth),
        n=len(truth),
        per_class={name: ClassScore(float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows},
        confusion=counts,
        subjects=None if by_subject is None else len(by_subject),
    )
