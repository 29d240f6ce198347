"""`mien explain`: what part of a face a model's answer rests on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from mien.errors import MissingExtra, UsageError
from mien.loading import is_run, question_of, recipe_of

if TYPE_CHECKING:
    from mien.models.card import Framing
    from mien.reports.document import Chapter, Section
    from mien.training.explainer import Explainer

# The faces that are painted over to see whether the maps tell the truth; each is asked about four times.
_TRIED = 300
# What is explained of a face in a photo: its likeliest answers.
_ANSWERS = 2


def explain(
    model: str = typer.Argument(
        help="A training run's folder, a shipped model, or an ONNX file of mien export."
    ),
    photos: list[Path] | None = typer.Argument(None, help="Photos or folders of them.", metavar="[PHOTO]..."),
    data: str | None = typer.Option(
        None,
        help="Labelled faces to explain too: FER2013 in any layout, a folder, or 'synthetic'.",
        metavar="PATH",
    ),
    split: str = typer.Option("PublicTest", help="The split of the data."),
    faces: int = typer.Option(1000, min=2, help="At most so many of its faces, drawn at random."),
    out: Path = typer.Option(
        Path("explain"), help="The folder to write to; made if it is not there.", metavar="DIR"
    ),
    head: str | None = typer.Option(
        None, help="Whose answers: fer2013 (labels) or votes (FER+). Default: fer2013, or the run's question."
    ),
    layer: str | None = typer.Option(
        None, help="The layer to look at. Default: the deepest whose maps have 6 x 6 cells or more."
    ),
    threads: int | None = typer.Option(None, min=1, help="CPU threads. Default: torch's choice."),
) -> None:
    """Show what part of a face a model's answers rest on (Grad-CAM), for photos and for labelled faces.

    Writes explain.html with every figure as PNG and SVG, and explain.json. For labelled faces: the mean map
    of each emotion, examples, mistakes, and a test of whether the maps tell the truth.
    """
    if not photos and data is None:
        raise UsageError("say what to explain: photos, or --data PATH (or --data synthetic).")
    head = head or question_of(model) or "fer2013"
    try:
        from mien.training.explainer import Explainer
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Explaining a model (package {error.name!r})", "train") from error
    from mien.reports.document import Document
    from mien.reports.writer import write

    asked = Explainer(model, head=head, layer=layer, threads=threads)
    name = Path(model).resolve().name if Path(model).is_dir() else Path(model).stem
    chapters: list[Chapter] = []
    if photos:
        chapters.append(_photos(asked, model, photos))
    if data is not None:
        chapters.append(_split(asked, name, head, data, split, faces))
    document = Document(
        name="explain",
        title=f"What {name} looks at",
        lead="Grad-CAM: the brighter a place, the more it speaks for the answer. It says what the network "
        "used, not why a person looks as they do.",
        chapters=chapters,
        about={"model": name, "head": head, "layer": asked.layer, "cells": asked.cells, "data": data},
    )
    typer.echo(str(write(document, out)))


def _split(asked: Explainer, name: str, head: str, data: str, split: str, most: int) -> Chapter:
    from rich.console import Console
    from rich.progress import Progress

    from mien.data import load
    from mien.evaluation.attribution import deletion_test, explain_faces, take_first
    from mien.reports.attribution import sections
    from mien.reports.document import Chapter

    faces = load(data).split(split)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{name} on {split}", total=min(most, len(faces)))
        explained = explain_faces(
            asked, faces, name=name, head=head, most=most, progress=lambda n: bar.advance(task, n)
        )
    few = take_first(explained, _TRIED)
    tried = deletion_test(few, asked.predict) if len(few.crops) > 1 else None
    right = float((explained.predicted == explained.truth).mean())
    text = f"{len(explained.crops):,} faces of {split}, {right:.1%} of them named right."
    return Chapter("faces", f"Faces of {split}", text, sections(explained, tried))


def _photos(asked: Explainer, model: str, photos: list[Path]) -> Chapter:
    from mien.images.decode import find_images
    from mien.reports.document import Chapter

    found = find_images(photos)
    if not found:
        raise UsageError(f"there is no photo in {', '.join(map(str, photos))}.")
    parts = (section for n, photo in enumerate(found, 1) for section in _photo(asked, model, photo, n))
    text = "Each face as the model gets it, and what speaks for its two likeliest answers."
    return Chapter("photos", "Photos", text, parts)


def _photo(asked: Explainer, model: str, path: Path, number: int) -> Iterator[Section]:
    from mien.detection.blazeface import BlazeFace
    from mien.images.crop import crop_box, crop_face
    from mien.images.decode import read_image
    from mien.reports.document import Section
    from mien.reports.figures import attribution as drawing

    picture = read_image(path)
    size, framing = _takes(model)
    detections = sorted(BlazeFace().detect(picture.pixels), key=lambda each: -each.box[2] * each.box[3])
    if not detections:
        typer.echo(f"{path}: no face was found.", err=True)
        return
    crops = np.stack([crop_face(picture.pixels, each, framing, size=size) for each in detections])
    squares = [crop_box(each, framing) for each in detections]
    reasons = asked.explain(crops, most=_ANSWERS)
    named = [
        [f"{reasons.classes[i]} {row[i]:.0%}" for i in ranked]
        for row, ranked in zip(reasons.probabilities, reasons.ranked, strict=True)
    ]
    height, width = picture.pixels.shape[:2]
    scale = 8 / max(height, width)
    yield Section(
        f"photo_{number}",
        path.name,
        "What speaks for the likeliest answer, laid over each face.",
        (width * scale, height * scale),
        lambda axes: drawing.draw_photo(
            axes, picture.pixels, squares, list(reasons.maps[:, 0]), [each[0] for each in named]
        ),
        [
            {"box": [round(x, 1) for x in each.box], **dict(zip(reasons.classes, row.tolist(), strict=True))}
            for each, row in zip(detections, reasons.probabilities, strict=True)
        ],
    )
    yield Section(
        f"photo_{number}_faces",
        f"The faces of {path.name}",
        "Left what the model gets, then what speaks for its likeliest answer and for the second.",
        (2.3 * (1 + _ANSWERS), 2.55 * len(crops)),
        lambda axes: drawing.draw_crops(axes, crops, list(reasons.maps), named),
        named,
    )


def _takes(model: str) -> tuple[int, Framing]:
    """The side of a face that the model takes, and how faces lie in it."""
    from mien.images.crop import FER2013_FRAMING

    if is_run(model):
        return recipe_of(Path(model)).data.face_size, FER2013_FRAMING
    from mien.models.registry import find_model

    card = find_model(model).card
    return card.input_size, card.framing or FER2013_FRAMING
