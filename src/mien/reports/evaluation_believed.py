"""Parts of a page about whether a model's confidence can be believed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from mien.evaluation.metrics.calibration import coverage_curve
from mien.evaluation.predictions import Predictions
from mien.reports.document import Section
from mien.reports.figures import calibration
from mien.reports.figures.scores import thinned


def calibration_sections(
    p: Predictions, generator: np.random.Generator, applied_temperature: float
) -> Iterator[Section]:
    curve = coverage_curve(p.probabilities, p.truth)
    found = calibration.measure_calibration(p, generator, applied_temperature=applied_temperature)
    if found is not None:
        yield from _calibration(found)
    yield Section(
        "coverage",
        "Accuracy against coverage",
        "A model may decline to answer. Asked to answer only where it is surest, it is right more often.",
        (7.5, 4.4),
        lambda axes: calibration.draw_coverage(axes, curve),
        {
            "accuracy_at": {
                f"{share:.0%}": curve.accuracy_at(share) for share in calibration.NAMED_COVERAGES
            },
            "coverage": thinned(curve.coverage),
            "accuracy": thinned(curve.accuracy),
            "confidence": thinned(curve.confidence),
        },
    )
    if found is not None:
        yield from _sets(found)


def _calibration(found: calibration.CalibrationReport) -> Iterator[Section]:
    c = found.calibration
    where = "that do not stand in Training" if found.not_in_training else "of the split"
    against = (
        " Confidence is held against the share of the ten voters who gave the answer, on faces with a "
        "majority."
        if found.voters
        else ""
    )
    held = (
        f" The predictions hold a temperature of {found.applied_temperature:.2f}, which was taken out first."
        if found.applied_temperature != 1
        else ""
    )
    yield Section(
        "reliability",
        "Reliability",
        f"On the dotted line confidence is what it says. The temperature was fitted on {c.n_fitted:,} faces "
        f"{where} and measured on the other {c.n_measured:,}; larger marks are more faces.{against}{held} "
        "An ECE at or below that of a perfect model cannot be told from perfect.",
        (6.6, 6),
        lambda axes: calibration.draw_reliability(axes, found),
        {
            **{
                name: getattr(c, name)
                for name in ("temperature", "ece_before", "ece_after", "ece_noise", "nll_before", "nll_after")
            },
            "applied_temperature": found.applied_temperature,
            "n_fitted": c.n_fitted,
            "n_measured": c.n_measured,
            "bins": [
                {"before_or_after": name, "faces": int(n), "confidence": float(x), "right": float(y)}
                for name, bins in (("before", found.before), ("after", found.after))
                for n, x, y in zip(bins.count, bins.confidence, bins.accuracy, strict=True)
                if n
            ],
        },
    )


def _sets(found: calibration.CalibrationReport) -> Iterator[Section]:
    fits = found.calibration.conformal
    yield Section(
        "conformal",
        "Conformal sets",
        "Instead of one answer, the smallest set of emotions that holds the label as often as promised. A "
        "good model needs small sets. Fitted on one half of the faces, measured on the other.",
        (9.5, 1.3 + 0.75 * len(fits)),
        lambda axes: calibration.draw_sets(axes, found),
        [
            {
                **dataclasses.asdict(fit),
                **{f"size_{i}": float(share) for i, share in enumerate(sizes, 1)},
            }
            for fit, sizes in zip(fits, found.sizes, strict=True)
        ],
    )
    yield Section(
        "conformal_by_class",
        "Conformal sets, class by class",
        "One threshold serves all classes, so rare and hard ones are held less often than promised, and "
        "easy ones more.",
        (9, 4.4),
        lambda axes: calibration.draw_set_coverage(axes, found),
        {f"{fit.coverage:.0%}": each for fit, each in zip(fits, found.covered, strict=True)},
    )
