"""The sections of `mien explain`: mean maps, examples, mistakes, and the deletion test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.attribution import Attributions, DeletionTest, mean_attributions
from mien.reports.document import Section
from mien.reports.figures import attribution as drawing

_EXAMPLES = 4
_MISTAKES = 12


def sections(explained: Attributions, tried: DeletionTest | None = None) -> Iterator[Section]:
    """The figures of an explained split, in their order."""
    e, averages = explained, mean_attributions(explained)
    how = f"Grad-CAM on {e.layer} ({e.cells} x {e.cells} cells), enlarged; brighter is hotter."
    if averages:
        yield Section(
            "attribution_means",
            "Where the network looks, by emotion",
            f"The mean map of the faces that were named right, over their mean face. {how}",
            (1.6 * len(averages), 2.5),
            lambda axes: drawing.draw_means(axes, averages),
            {
                name: {"faces": m.faces, "share of heat in the upper half": m.upper}
                for name, m in averages.items()
            },
        )
        examples = _surest(e, right=True)
        rows = -(-len(examples) // _EXAMPLES)
        yield Section(
            "attribution_examples",
            "The surest right answers",
            f"Of each emotion the {_EXAMPLES} named right with most certainty, as they are and with the heat "
            "of the answer.",
            (1.25 * 2 * _EXAMPLES, 1.6 * rows),
            lambda axes: drawing.draw_examples(axes, e, examples, columns=_EXAMPLES),
            _listed(e, examples),
        )
    mistakes = _surest(e, right=False)
    if len(mistakes):
        columns = min(4, len(mistakes))
        yield Section(
            "attribution_mistakes",
            "The surest mistakes",
            "What spoke for the wrong answer. Many of these labels are doubtful: look at the face first.",
            (1.25 * 2 * columns, 1.6 * -(-len(mistakes) // columns)),
            lambda axes: drawing.draw_examples(axes, e, mistakes, columns=columns),
            _listed(e, mistakes),
        )
    if tried is not None:
        yield Section(
            "deletion_test",
            "Do the maps tell the truth?",
            "A fifth of each face is painted in its mean gray. If the heat is what the answer rests on, the "
            "hottest fifth costs most, more than a fifth chosen by another face's map.",
            (7.5, 2.9),
            lambda axes: drawing.draw_deletion_test(axes, tried),
            {name: getattr(tried, name) for name in ("faces", "whole", "hottest", "other", "coldest")},
        )


def _surest(e: Attributions, *, right: bool) -> NDArray[np.intp]:
    """Places of the surest right answers of each emotion in turn, or of the surest mistakes of all."""
    order = np.argsort(-e.confidence, kind="stable")
    if not right:
        mistakes: NDArray[np.intp] = order[(e.predicted != e.truth)[order]][:_MISTAKES]
        return mistakes
    chosen = [
        order[((e.predicted == label) & (e.truth == label))[order]][:_EXAMPLES]
        for label in range(len(e.classes))
    ]
    return np.concatenate(chosen)


def _listed(e: Attributions, places: NDArray[np.intp]) -> list[dict[str, object]]:
    return [
        {
            "row": int(e.rows[i]),
            "label": e.classes[e.truth[i]],
            "answer": e.classes[e.predicted[i]],
            "probability": round(float(e.confidence[i]), 4),
        }
        for i in places
    ]
