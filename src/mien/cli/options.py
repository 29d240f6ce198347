"""Options and arguments that several commands share, each in one wording, and the titles of their panels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

# Titles of the panels in which `--help` lists options.
DATA = "Data"
MODEL = "Model"
OUTPUT = "Output"
MACHINE = "Machine"
SCORES = "Scores"


class LabelSet(StrEnum):
    """The sets of emotions that a model can predict."""

    fer2013 = "fer2013"
    ferplus = "ferplus"


_DATA_HELP = "FER2013 as CSV, archive or Parquet; a folder or zip with one folder per class; or 'synthetic'."

DataOption: TypeAlias = Annotated[
    str, typer.Option("--data", metavar="PATH", help=f"Labelled faces: {_DATA_HELP}", rich_help_panel=DATA)
]
OptionalData: TypeAlias = Annotated[
    str | None,
    typer.Option("--data", metavar="PATH", help=f"Labelled faces: {_DATA_HELP}", rich_help_panel=DATA),
]
DataArgument: TypeAlias = Annotated[str, typer.Argument(metavar="PATH", help=_DATA_HELP)]
Votes: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--votes",
        metavar="FILE",
        help="FER+ votes (fer2013new.csv), joined by row number.",
        rich_help_panel=DATA,
    ),
]
LabelMapOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--label-map",
        metavar="MAP",
        help="What folders mean that are not named after emotions: raf-db, affectnet, ck+, or a CSV with "
        "the columns folder,emotion.",
        rich_help_panel=DATA,
    ),
]
Split: TypeAlias = Annotated[
    str, typer.Option("--split", metavar="NAME", help="The split to use.", rich_help_panel=DATA)
]

OnnxModel: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A shipped model (see: mien models), or an ONNX file.",
        rich_help_panel=MODEL,
    ),
]
AnyModel: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A shipped model (see: mien models), an ONNX file, or the folder of a training run.",
        rich_help_panel=MODEL,
    ),
]
Labels: TypeAlias = Annotated[
    LabelSet | None,
    typer.Option(
        "--labels",
        metavar="SET",
        help="fer2013: seven emotions; ferplus: eight, as ten people would vote. Default: the model's own.",
        rich_help_panel=MODEL,
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where the model runs: auto, cpu, cuda or coreml.",
        rich_help_panel=MACHINE,
    ),
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, help="CPU threads. Default: one per core.", rich_help_panel=MACHINE
    ),
]

OutFolder: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", help="Folder to write to; created if missing.", rich_help_panel=OUTPUT
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of tables.", rich_help_panel=OUTPUT)
]
Bootstrap: TypeAlias = Annotated[
    int,
    typer.Option(
        "--bootstrap",
        metavar="N",
        min=1,
        help="Bootstrap resamples for the confidence intervals.",
        rich_help_panel=SCORES,
    ),
]
