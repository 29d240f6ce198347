"""`mien explain`: which parts of a face the predictions of a model rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.options import option
from mien.cli.predict.options import Crops
from mien.models.registry import DEFAULT

Images: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Images, folders or globs.")
]
Head: TypeAlias = Annotated[
    str | None,
    option(
        options.MODEL,
        "--head HEAD",
        "The head to explain: fer2013 (labels) or votes (FER+). Default: fer2013, or the run's binary task.",
    ),
]
Layer: TypeAlias = Annotated[
    str | None,
    option(
        options.MODEL,
        "--layer LAYER",
        "The layer of the maps. Default: the deepest whose maps have 6 x 6 cells or more.",
    ),
]
Faces: TypeAlias = Annotated[
    int,
    option(
        options.DATA,
        "--faces N",
        "Explain at most this many faces of the data, drawn at random.",
        min=2,
    ),
]


def explain(
    images: Images = None,
    model: options.AnyModel = DEFAULT,
    data: options.OptionalData = None,
    split: options.Split = "PublicTest",
    faces: Faces = 1000,
    crops: Crops = False,
    head: Head = None,
    layer: Layer = None,
    out: options.OutFolder = Path("explain"),
    threads: options.TorchThreads = None,
) -> None:
    """Show which parts of a face the predictions of a model rest on (Grad-CAM), for images or labelled faces.

    Writes explain.html, with each figure as PNG, SVG and PDF, and explain.json. For labelled faces it
    contains the mean map of each emotion, examples, mistakes, and a test of whether the maps are correct.
    """
    from mien import api
    from mien.cli.progress import progress_bar

    with progress_bar("loading") as bar:
        explained = api.explain(
            model,
            images or [],
            data=data,
            split=split,
            faces=faces,
            head=head,
            layer=layer,
            crops=crops,
            threads=threads,
            out=out,
            progress=bar.show,
        )
    for each in explained.images:
        if not len(each):
            typer.echo(f"{each.image.source}: no face was found.", err=True)
    typer.echo(str(out / "explain.html"))
