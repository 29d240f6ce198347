"""`mien explain`: the parts of a face that a prediction depends on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
import typer

from mien.cli import options
from mien.cli.options import option
from mien.errors import MissingExtra, UsageError
from mien.loading import is_run, question_of, recipe_of

if TYPE_CHECKING:
    from mien.models.card import Framing
    from mien.reports.document import Chapter, Section
    from mien.training.explainer import Explainer

# Faces in the test of whether the maps are faithful; the model predicts each of them four times.
_TESTED = 300
# The most probable emotions of a face in a photo that are explained.
_EXPLAINED = 2


Model: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="The folder of a training run, a shipped model, or an ONNX file of mien export.",
    ),
]
Photos: TypeAlias = Annotated[
    list[Path] | None, typer.Argument(metavar="[PHOTO]...", help="Photos, or folders of photos.")
]
Faces: TypeAlias = Annotated[
    int, option(options.DATA, "--faces N", "Limit to this many faces of the split, drawn at random.", min=2)
]
Head: TypeAlias = Annotated[
    str | None,
    option(
        options.MODEL,
        "--head HEAD",
        "The head to explain: fer2013 (labels) or votes (FER+). Default: fer2013, or the binary task of "
        "the run.",
    ),
]
Layer: TypeAlias = Annotated[
    str | None,
    option(
        options.MODEL,
        "--layer NAME",
        "The layer of the maps. Default: the deepest with maps of 6 x 6 cells or more.",
    ),
]


def explain(
    model: Model,
    photos: Photos = None,
    data: options.OptionalData = None,
    split: options.Split = "PublicTest",
    faces: Faces = 1000,
    head: Head = None,
    layer: Layer = None,
    out: options.OutFolder = Path("explain"),
    threads: options.TorchThreads = None,
) -> None:
    """Show which parts of a face a prediction depends on (Grad-CAM), for photos and for labelled faces.

    Writes explain.html, each figure as PNG and SVG, and explain.json. For labelled faces: the mean map of
    each emotion, examples, mistakes, and a test of whether the maps are faithful to the model.
    """
    if not photos and data is None:
        raise UsageError("nothing to explain: give photos, or --data PATH (or --data synthetic).")
    head = head or question_of(model) or "fer2013"
    try:
        from mien.training.explainer import Explainer
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Explaining a model (package {error.name!r})", "train") from error
    from mien.reports.document import Document
    from mien.reports.writer import write

    explainer = Explainer(model, head=head, layer=layer, threads=threads)
    name = Path(model).resolve().name if Path(model).is_dir() else Path(model).stem
    chapters: list[Chapter] = []
    if photos:
        chapters.append(_photos(explainer, model, photos))
    if data is not None:
        chapters.append(_split(explainer, name, head, data, split, faces))
    document = Document(
        name="explain",
        title=f"Which parts of a face {name} uses",
        lead="Grad-CAM: the brighter an area, the more it contributed to the prediction. The maps show what "
        "the network used, not why a person looks as they do.",
        chapters=chapters,
        about={"model": name, "head": head, "layer": explainer.layer, "cells": explainer.cells, "data": data},
    )
    typer.echo(str(write(document, out)))


def _split(explainer: Explainer, name: str, head: str, data: str, split: str, most: int) -> Chapter:
    from mien.cli.progress import progress_bar
    from mien.data import load
    from mien.evaluation.attribution import deletion_test, explain_faces, take_first
    from mien.reports.attribution import sections
    from mien.reports.document import Chapter

    faces = load(data).split(split)
    with progress_bar() as bar:
        advance = bar.stage(f"{name} on {split}", min(most, len(faces)))
        explained = explain_faces(explainer, faces, name=name, head=head, most=most, progress=advance)
    few = take_first(explained, _TESTED)
    tested = deletion_test(few, explainer.predict) if len(few.crops) > 1 else None
    right = float((explained.predicted == explained.truth).mean())
    text = f"{len(explained.crops):,} faces of {split}, {right:.1%} of them predicted correctly."
    return Chapter("faces", f"Faces of {split}", text, sections(explained, tested))


def _photos(explainer: Explainer, model: str, photos: list[Path]) -> Chapter:
    from mien.images.find import find_images
    from mien.reports.document import Chapter

    paths = find_images(photos)
    parts = (section for n, photo in enumerate(paths, 1) for section in _photo(explainer, model, photo, n))
    text = "Each face as the model's input, and the evidence for its two most probable emotions."
    return Chapter("photos", "Photos", text, parts)


def _photo(explainer: Explainer, model: str, path: Path, number: int) -> Iterator[Section]:
    from mien.detection.blazeface import BlazeFace
    from mien.images.crop import crop_box, crop_face
    from mien.images.decode import read_image
    from mien.reports.document import Section
    from mien.reports.figures import attribution as drawing

    image = read_image(path)
    size, framing = _input_of(model)
    detections = sorted(BlazeFace().detect(image.pixels), key=lambda each: -each.box[2] * each.box[3])
    if not detections:
        typer.echo(f"{path}: no face was found.", err=True)
        return
    crops = np.stack([crop_face(image.pixels, each, framing, size=size) for each in detections])
    squares = [crop_box(each, framing) for each in detections]
    reasons = explainer.explain(crops, most=_EXPLAINED)
    named = [
        [f"{reasons.classes[i]} {row[i]:.0%}" for i in ranked]
        for row, ranked in zip(reasons.probabilities, reasons.ranked, strict=True)
    ]
    height, width = image.pixels.shape[:2]
    scale = 8 / max(height, width)
    yield Section(
        f"photo_{number}",
        path.name,
        "The evidence for the most probable emotion, laid over each face.",
        (width * scale, height * scale),
        lambda axes: drawing.draw_photo(
            axes, image.pixels, squares, list(reasons.maps[:, 0]), [each[0] for each in named]
        ),
        [
            {"box": [round(x, 1) for x in each.box], **dict(zip(reasons.classes, row.tolist(), strict=True))}
            for each, row in zip(detections, reasons.probabilities, strict=True)
        ],
    )
    yield Section(
        f"photo_{number}_faces",
        f"The faces of {path.name}",
        "Left the model's input, then the evidence for its most probable emotion and for the second.",
        (2.3 * (1 + _EXPLAINED), 2.55 * len(crops)),
        lambda axes: drawing.draw_crops(axes, crops, list(reasons.maps), named),
        named,
    )


def _input_of(model: str) -> tuple[int, Framing]:
    """The side of the model's input in pixels, and the framing of faces in it."""
    from mien.images.crop import FER2013_FRAMING

    if is_run(model):
        return recipe_of(Path(model)).data.face_size, FER2013_FRAMING
    from mien.models.registry import find_model

    card = find_model(model).card
    return card.input_size, card.framing or FER2013_FRAMING
