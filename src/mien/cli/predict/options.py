"""The options of `mien predict`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from mien.cli.options import OUTPUT
from mien.cli.predict.sources import seconds

_DETECTION = "Face detection"
_CLIPS = "Clips, streams and cameras"
_CLIP_OUTPUT = "Output of clips"


class FaceChoice(StrEnum):
    """The faces of a clip that are reported."""

    all = "all"
    biggest = "biggest"


Sources: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Photos or clips: files, folders and globs; - for a photo on stdin; a camera's number.",
    ),
]

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write one JSON document to stdout.", rich_help_panel=OUTPUT)
]
JsonLines: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--jsonl",
        help="Write one JSON object per line to stdout: one per photo, or one per face in a clip.",
        rich_help_panel=OUTPUT,
    ),
]
Csv: TypeAlias = Annotated[
    bool,
    typer.Option("--csv", help="Write a CSV table to stdout, one row per face.", rich_help_panel=OUTPUT),
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the results to this file instead. The suffix sets the format: .json, .jsonl, .csv, and "
        "for clips .parquet.",
        rich_help_panel=OUTPUT,
    ),
]
Save: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Save annotated images or clips in this folder.", rich_help_panel=OUTPUT
    ),
]
Overwrite: TypeAlias = Annotated[
    bool,
    typer.Option("--overwrite", help="Allow --out and --save to replace files.", rich_help_panel=OUTPUT),
]

DetectorThreshold: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        max=1.0,
        help="Minimum detection confidence, 0 to 1. Default: 0.5.",
        rich_help_panel=_DETECTION,
    ),
]
Align: TypeAlias = Annotated[
    bool,
    typer.Option("--align", help="Rotate each face until its eyes are level.", rich_help_panel=_DETECTION),
]
Crops: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--crops", help="Treat each image as one cropped face, without detection.", rich_help_panel=_DETECTION
    ),
]

Interval: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="TIME",
        parser=seconds,
        help="Analyze one frame per interval, e.g. 0.2s. Default: every frame.",
        rich_help_panel=_CLIPS,
    ),
]
Start: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="TIME", parser=seconds, help="Begin here, e.g. 90s or 1:30.", rich_help_panel=_CLIPS
    ),
]
End: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="TIME", parser=seconds, help="End here.", rich_help_panel=_CLIPS),
]
Faces: TypeAlias = Annotated[
    FaceChoice,
    typer.Option(
        metavar="all|biggest",
        help="Report all faces, or only the person whose face is the biggest.",
        rich_help_panel=_CLIPS,
    ),
]
Smooth: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="TIME",
        parser=seconds,
        help="Average expressions over about this time, in seconds. 0: no smoothing.",
        rich_help_panel=_CLIPS,
    ),
]
DetectorSize: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="PIXELS",
        min=64,
        help="Longest side of the frame given to the face detector. A larger one finds smaller faces.",
        rich_help_panel=_CLIPS,
    ),
]
Stream: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Allow a source to be an address (rtsp://, http://, ...) and connect to it.",
        rich_help_panel=_CLIPS,
    ),
]

Timeline: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Save a figure of each person's expressions over time in this folder.",
        rich_help_panel=_CLIP_OUTPUT,
    ),
]
BlurOthers: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--blur-others",
        help="Blur all faces that are not reported, in what is saved or shown.",
        rich_help_panel=_CLIP_OUTPUT,
    ),
]
Show: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--show",
        help="Show each frame in a window. Q or Escape closes it.",
        rich_help_panel=_CLIP_OUTPUT,
    ),
]
Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the interrupted run that wrote the file of --out.",
        rich_help_panel=_CLIP_OUTPUT,
    ),
]
