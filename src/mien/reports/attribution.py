"""Explanations of a model's predictions, and the page of `mien explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.attribution import Attributions, DeletionTest, ImageExplanation, mean_attributions
from mien.reports.document import Chapter, Document, Section
from mien.reports.figures import attribution as drawing
from mien.reports.writer import write

_EXAMPLES = 4
_MISTAKES = 12
_LEAD = (
    "Grad-CAM: the brighter a region, the more it speaks for the prediction. It shows what the network "
    "used, not why a person looks as they do."
)


@dataclass(frozen=True, eq=False, repr=False)
class ModelExplanation:
    """Which parts of faces the predictions of a model rest on.

    Attributes:
        model, head: the model and its head.
        layer, cells: the layer that the maps come from, and how many cells a side they have.
        images: one explanation per image.
        faces: the explained faces of a data set, or None.
        deletion_test: whether the maps show what the predictions rest on, measured on `faces`; or None.
        data: where these faces come from.
    """

    model: str
    head: str
    layer: str
    cells: int
    images: tuple[ImageExplanation, ...] = ()
    faces: Attributions | None = None
    deletion_test: DeletionTest | None = None
    data: str = ""

    def __repr__(self) -> str:
        parts = [repr(each).removeprefix("<ImageExplanation of ").rstrip(">") for each in self.images]
        parts += [] if self.faces is None else [f"{len(self.faces.crops):,} faces of {self.data}"]
        return f"<ModelExplanation of {self.model} ({self.layer}): {'; '.join(parts)}>"


def write_explanation(
    explained: ModelExplanation, folder: Path, *, on_section: Callable[[str], None] = lambda _: None
) -> Path:
    """The path of explain.html; beside it are each figure as PNG, SVG and PDF, and explain.json.

    Raises:
        DataError: the folder cannot be created.
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    e, chapters = explained, []
    if e.images:
        text = "Each face as the model gets it, and what speaks for its two most probable classes."
        found = (part for n, image in enumerate(e.images, 1) for part in image_sections(image, n))
        chapters.append(Chapter("images", "Images", text, found))
    if e.faces is not None:
        accuracy = float((e.faces.predicted == e.faces.truth).mean())
        text = f"{len(e.faces.crops):,} faces of {e.data}; {accuracy:.1%} of them are predicted correctly."
        chapters.append(Chapter("faces", f"Faces of {e.data}", text, sections(e.faces, e.deletion_test)))
    about = {"model": e.model, "head": e.head, "layer": e.layer, "cells": e.cells, "data": e.data or None}
    document = Document("explain", f"What the predictions of {e.model} rest on", _LEAD, chapters, about)
    return write(document, folder, on_section=on_section)


def image_sections(explained: ImageExplanation, number: int) -> Iterator[Section]:
    """The image with its maps, and its faces one by one; nothing without a face."""
    e, image = explained.explanation, explained.image
    if e is None:
        return
    name, captions = Path(image.source).name, explained.captions
    scale = 8 / max(image.height, image.width)
    first = [each[0] for each in captions]
    yield Section(
        f"image_{number}",
        name,
        "What speaks for the most probable class, drawn over each face.",
        (image.width * scale, image.height * scale),
        lambda axes: drawing.draw_photo(axes, image.pixels, explained.squares, list(e.maps[:, 0]), first),
        [
            {"square": np.round(square, 1), **dict(zip(e.classes, row.tolist(), strict=True))}
            for square, row in zip(explained.squares, e.probabilities, strict=True)
        ],
    )
    yield Section(
        f"image_{number}_faces",
        f"The faces of {name}",
        "On the left what the model gets; then what speaks for each of its most probable classes.",
        (2.3 * (1 + e.ranked.shape[1]), 2.55 * len(explained)),
        lambda axes: drawing.draw_crops(axes, explained.crops, list(e.maps), captions),
        captions,
    )


def sections(explained: Attributions, tested: DeletionTest | None = None) -> Iterator[Section]:
    """The sections of explained faces, in order."""
    e, averages = explained, mean_attributions(explained)
    how = f"Grad-CAM on {e.layer} ({e.cells} x {e.cells} cells), enlarged; brighter is hotter."
    if averages:
        yield Section(
            "attribution_means",
            "What the predictions rest on, per emotion",
            f"The mean map of the correctly predicted faces, over their mean face. {how}",
            (1.6 * len(averages), 2.5),
            lambda axes: drawing.draw_means(axes, averages),
            {
                name: {"faces": m.faces, "share of heat in the upper half": m.upper}
                for name, m in averages.items()
            },
        )
        examples = _most_confident(e, correct=True)
        rows = -(-len(examples) // _EXAMPLES)
        yield Section(
            "attribution_examples",
            "The most confident correct predictions",
            f"The {_EXAMPLES} most confident correct predictions of each emotion, without and with the map.",
            (1.25 * 2 * _EXAMPLES, 1.6 * rows),
            lambda axes: drawing.draw_examples(axes, e, examples, columns=_EXAMPLES),
            _listed(e, examples),
        )
    mistakes = _most_confident(e, correct=False)
    if len(mistakes):
        columns = min(4, len(mistakes))
        yield Section(
            "attribution_mistakes",
            "The most confident mistakes",
            "What speaks for the wrong prediction. Many of these labels are doubtful: inspect the face "
            "first.",
            (1.25 * 2 * columns, 1.6 * -(-len(mistakes) // columns)),
            lambda axes: drawing.draw_examples(axes, e, mistakes, columns=columns),
            _listed(e, mistakes),
        )
    if tested is not None:
        yield Section(
            "deletion_test",
            "Deletion test",
            "A fifth of each face is painted in its mean gray. If the predictions rest on the hot regions, "
            "the hottest fifth of the face's own map lowers the probability most, more than that of "
            "another face's map.",
            (7.5, 2.9),
            lambda axes: drawing.draw_deletion_test(axes, tested),
            {name: getattr(tested, name) for name in ("faces", "whole", "hottest", "other", "coldest")},
        )


def _most_confident(e: Attributions, *, correct: bool) -> NDArray[np.intp]:
    """Indices of the most confident correct predictions of each emotion, or of the mistakes."""
    order = np.argsort(-e.confidence, kind="stable")
    if not correct:
        mistakes: NDArray[np.intp] = order[(e.predicted != e.truth)[order]][:_MISTAKES]
        return mistakes
    chosen = [
        order[((e.predicted == label) & (e.truth == label))[order]][:_EXAMPLES]
        for label in range(len(e.classes))
    ]
    return np.concatenate(chosen)


def _listed(e: Attributions, indices: NDArray[np.intp]) -> list[dict[str, object]]:
    return [
        {
            "row": int(e.rows[i]),
            "label": e.classes[e.truth[i]],
            "predicted": e.classes[e.predicted[i]],
            "probability": round(float(e.confidence[i]), 4),
        }
        for i in indices
    ]
