"""`mien explain`: which parts of a face the predictions of a model rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.predict.options import Crops
from mien.models.registry import DEFAULT

Images: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Images, folders or globs.")
]
Head: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--head",
        metavar="HEAD",
        help="The head to explain: fer2013 (labels) or votes (FER+). Default: fer2013, or the run's binary "
        "task.",
        rich_help_panel=options.MODEL,
    ),
]
Layer: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--layer",
        metavar="LAYER",
        help="The layer of the maps. Default: the deepest whose maps have 6 x 6 cells or more.",
        rich_help_panel=options.MODEL,
    ),
]
Faces: TypeAlias = Annotated[
    int,
    typer.Option(
        "--faces",
        metavar="N",
        min=2,
        help="Explain at most this many faces of the data, drawn at random.",
        rich_help_panel=options.DATA,
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
    threads: options.Threads = None,
) -> None:
    """Show which parts of a face the predictions of a model rest on (Grad-CAM), for images or labelled faces.

    Writes explain.html, with each figure as PNG and SVG, and explain.json. For labelled faces it contains the
    mean map of each emotion, examples, mistakes, and a test of whether the maps are correct.
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
