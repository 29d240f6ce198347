"""Options and arguments that several commands share, each in one wording, and the titles of their panels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

# Titles of the panels in which `--help` lists options.
DATA = "Data"
MODEL = "Model"
OUTPUT = "Output"
MACHINE = "Machine"
SCORES = "Scores"


def option(panel: str, names: str, help: str, **checks: Any) -> Any:
    """An option in a panel of the help; `names` reads as in the help: ``"--out,-o DIR"``, ``"--json"``."""
    flags, _, value = names.partition(" ")
    return typer.Option(
        *flags.split(","), metavar=value or None, help=help, rich_help_panel=panel or None, **checks
    )


class LabelSet(StrEnum):
    """The sets of emotions that a model can predict."""

    combined = "combined"
    ferplus = "ferplus"
    fer2013 = "fer2013"


class Truth(StrEnum):
    """What is known about the faces of the data."""

    fer2013 = "fer2013"
    ferplus = "ferplus"


class TableFormat(StrEnum):
    """How a table for a paper is written."""

    markdown = "markdown"
    latex = "latex"
    csv = "csv"


_DATA_HELP = (
    "FER2013 as CSV, archive or Parquet; a folder or zip with one folder per class; a CSV, JSON lines or "
    "Parquet file with the columns path,label[,split,subject]; or 'synthetic'."
)

DataOption: TypeAlias = Annotated[str, option(DATA, "--data PATH", f"Labelled faces: {_DATA_HELP}")]
OptionalData: TypeAlias = Annotated[str | None, option(DATA, "--data PATH", f"Labelled faces: {_DATA_HELP}")]
DataArgument: TypeAlias = Annotated[str, typer.Argument(metavar="PATH", help=_DATA_HELP)]
Votes: TypeAlias = Annotated[
    Path | None, option(DATA, "--votes FILE", "FER+ votes (fer2013new.csv), joined by row number.")
]
LabelMapOption: TypeAlias = Annotated[
    str | None,
    option(
        DATA,
        "--label-map MAP",
        "What folders mean that are not named after emotions: raf-db, affectnet, ck+; own: each folder is a "
        "class; or a CSV with the columns folder,emotion, or folder,class for classes of any name.",
    ),
]
Split: TypeAlias = Annotated[str, option(DATA, "--split NAME", "The split to use.")]


def model_file(context: typer.Context, model: str) -> str:
    """The model; for a training run, its ONNX file, which is exported first if it is not there."""
    from mien.loading import exported, is_run

    if context.resilient_parsing or not is_run(model):
        return model
    path = exported(model)
    if not _is_calibrated(path):
        typer.echo(f"{path} is not calibrated. mien export {model} calibrates and measures it.", err=True)
    return str(path)


def _is_calibrated(path: Path) -> bool:
    from mien.models.card import read_card

    return bool(read_card(path.with_suffix(".json")).figures)


OnnxModel: TypeAlias = Annotated[
    str,
    option(
        MODEL,
        "--model MODEL",
        "A shipped model (see: mien models), an ONNX file, or the folder of a training run.",
        callback=model_file,
    ),
]
AnyModel: TypeAlias = Annotated[
    str,
    option(
        MODEL,
        "--model MODEL",
        "A shipped model (see: mien models), an ONNX file, or the folder of a training run.",
    ),
]
Labels: TypeAlias = Annotated[
    LabelSet | None,
    option(
        MODEL,
        "--labels SET",
        "combined: eight emotions, from both heads of the model; ferplus: eight, as ten people would vote; "
        "fer2013: seven, as FER2013 is labelled. Default: the model's own.",
    ),
]
Device: TypeAlias = Annotated[
    str, option(MACHINE, "--device NAME", "Where the model runs: auto, cpu, cuda or coreml.")
]
Threads: TypeAlias = Annotated[
    int | None, option(MACHINE, "--threads N", "CPU threads. Default: one per core.", min=1)
]
TorchThreads: TypeAlias = Annotated[
    int | None, option(MACHINE, "--threads N", "CPU threads. Default: PyTorch's.", min=1)
]

OutFolder: TypeAlias = Annotated[Path, option(OUTPUT, "--out DIR", "Folder to write to; created if missing.")]
Json: TypeAlias = Annotated[bool, option(OUTPUT, "--json", "Print JSON instead of tables.")]
Format: TypeAlias = Annotated[
    TableFormat | None,
    option(OUTPUT, "--format NAME", "Print tables for a paper instead: markdown, latex (booktabs) or csv."),
]
Bootstrap: TypeAlias = Annotated[
    int, option(SCORES, "--bootstrap N", "Bootstrap resamples for the confidence intervals.", min=1)
]
