"""`mien export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from mien.cli import options
from mien.cli.options import option
from mien.cli.tables import results_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mien.exporting.calibrate import MeasuredHead
    from mien.exporting.onnx import Exported

Run: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The folder of a training run. With --triton, also a shipped model or an ONNX file.",
    ),
]
Out: TypeAlias = Annotated[
    Path | None, option(options.OUTPUT, "--out FILE", "The ONNX file to write. Default: NAME.onnx in RUN.")
]
Name: TypeAlias = Annotated[
    str | None,
    option(options.OUTPUT, "--name NAME", "The model's name. Default: that of FILE, or mien-RECIPE."),
]
Int8: TypeAlias = Annotated[
    bool, option(options.OUTPUT, "--int8", "Also write NAME-int8.onnx, quantized to eight bits.")
]
Triton: TypeAlias = Annotated[
    Path | None,
    option(
        options.OUTPUT,
        "--triton DIR",
        "Also write the model into a model repository for NVIDIA Triton or KServe; created if missing.",
    ),
]
Data: TypeAlias = Annotated[
    str | None,
    option(options.DATA, "--data PATH", "The faces to verify and measure with. Default: those of the run."),
]
Votes: TypeAlias = Annotated[
    Path | None,
    option(
        options.DATA,
        "--votes FILE",
        "FER+ votes (fer2013new.csv), for the head of votes. Default: those of the run.",
    ),
]
Split: TypeAlias = Annotated[
    str | None,
    option(
        options.DATA,
        "--split NAME",
        "The split to verify and measure on. Default: PublicTest, or the only split of the data.",
    ),
]
Calibrate: TypeAlias = Annotated[
    bool,
    option(
        options.SCORES,
        "--calibrate/--no-calibrate",
        "Fit temperatures and conformal thresholds on half of the split; put figures in the card.",
    ),
]
Tta: TypeAlias = Annotated[
    bool,
    option(
        options.SCORES,
        "--tta/--no-tta",
        "Also put figures with test-time augmentation in the card: ten crops of each face.",
    ),
]


def export(
    run: Run,
    out: Out = None,
    name: Name = None,
    data: Data = None,
    votes: Votes = None,
    split: Split = None,
    int8: Int8 = False,
    calibrate: Calibrate = True,
    tta: Tta = True,
    triton: Triton = None,
) -> None:
    """Write a run's best network as one ONNX file with its card beside it.

    Verifies on every face of the split that PyTorch and ONNX Runtime agree. If they differ, nothing is
    written. With --triton, a shipped model or an ONNX file only gets a model repository.
    """
    from rich.console import Console

    import mien
    from mien.cli.progress import progress_bar

    if triton is not None and not Path(run).is_dir():
        _write_triton(run, triton)
        return
    with progress_bar(f"reading {run}") as bar:
        result = mien.export(
            run,
            out,
            name=name,
            data=data,
            votes=votes,
            split=split,
            int8=int8,
            calibrate=calibrate,
            tta=tta,
            progress=bar.describe,
        )
    console = Console()
    for model, show in zip(result.models, (_show, _show_int8), strict=False):
        show(model, result.split, console)
    for model in result.models:
        if measured := result.measured.get(model.card.name):
            console.print(_calibration(model, result.split, measured))
    if triton is not None:
        for model in result.models:
            _write_triton(model.onnx, triton)


def _write_triton(model: str | Path, folder: Path) -> None:
    from mien.exporting.triton import write_triton_repository

    typer.echo(
        f"{write_triton_repository(model, folder)}: config.pbtxt, 1/model.onnx, the labels and the card"
    )


def _show(exported: Exported, split: str, console: Console) -> None:
    card = exported.card
    _wrote(exported, console)
    console.print(
        f"{card.backbone} at {card.network_size} px, {card.parameters / 1e6:.2f} M parameters, "
        f"{card.macs / 1e6:.1f} M multiply-accumulates per face"
    )
    for head, agreement in exported.agreement.items():
        console.print(
            f"torch and ONNX Runtime agree on {split}, head {head}: {agreement.faces:,} faces, "
            f"probabilities to {agreement.max_dp:.1g}, the same most probable class on every face"
        )


def _show_int8(exported: Exported, split: str, console: Console) -> None:
    _wrote(exported, console)
    for head, agreement in exported.agreement.items():
        console.print(
            f"eight bits against float32 on {split}, head {head}: the same most probable class on "
            f"{agreement.same_top / agreement.faces:.2%} of {agreement.faces:,} faces"
        )
    accuracy = exported.card.training["export"]["int8"].get("accuracy")
    if accuracy:
        console.print(f"accuracy {accuracy['int8']:.2%}, where float32 has {accuracy['float32']:.2%}")


def _wrote(exported: Exported, console: Console) -> None:
    size = exported.onnx.stat().st_size / 1e6
    console.print(f"\n[bold]{exported.card.name}[/bold] {exported.onnx} ({size:.1f} MB) and its card")


def _calibration(exported: Exported, split: str, measured: Mapping[str, MeasuredHead]) -> Table:
    headings = ["head", "accuracy", "macro F1", "temperature", "ECE before", "ECE after"]
    table = results_table(
        f"{exported.card.name} on {split}",
        *headings,
        *("cross-validated", "chance", "90 % sets: size, coverage"),
        caption="ECE: calibration error on the half that the temperature was not fitted on; cross-validated: "
        "of all faces, each by the temperature of the other half, over 20 random halves; chance: that of a "
        "perfect model",
        wrap=True,
    )
    for name, head in measured.items():
        scores, fitted = head.evaluation.scores, head.calibration
        sets = {fit.coverage: f"{fit.mean_size:.2f}, {fit.measured_coverage:.1%}" for fit in fitted.conformal}
        table.add_row(
            name,
            f"{scores.accuracy:.2%}",
            f"{scores.macro_f1:.2%}",
            f"{fitted.temperature:.3f}",
            f"{fitted.ece_before:.3f}",
            f"{fitted.ece_after:.3f}",
            f"{head.cross_validated.ece:.3f} ± {head.cross_validated.ece_std:.3f}",
            f"{head.cross_validated.ece_noise:.3f}",
            sets.get(0.9, ""),
        )
    return table
