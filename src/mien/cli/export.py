"""`mien export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mien.exporting.calibrate import MeasuredHead
    from mien.exporting.onnx import Exported


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The ONNX file to write. Default: NAME.onnx in RUN.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The model's name. Default: that of FILE, or mien-RECIPE.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="The faces to prove and measure with. Default: those of the run."),
    ] = None,
    votes: Annotated[
        Path | None,
        typer.Option(help="FER+'s fer2013new.csv, for the head of votes. Default: that of the run."),
    ] = None,
    split: Annotated[str, typer.Option(help="The split to prove and measure on.")] = "PublicTest",
    int8: Annotated[
        bool, typer.Option("--int8", help="Write NAME-int8.onnx too, quantised to eight bits.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Fit temperatures and conformal thresholds on half of the split; put figures in the card.",
        ),
    ] = True,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta/--no-tta",
            help="Put figures with test-time augmentation in the card too: ten more looks at each face.",
        ),
    ] = True,
) -> None:
    """Write a run's best network as one ONNX file with its card beside it.

    Proves on every face of the split that torch and ONNX Runtime agree; where not, it writes nothing.
    """
    try:
        from mien.exporting.onnx import check_place, export_run
        from mien.training.classifier import load_run
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Exporting (package {error.name!r})", "train") from error
    from rich.console import Console

    from mien.data import load
    from mien.images.crop import FER2013_FRAMING

    if out is not None:
        check_place(out)
    face_size = load_run(run).recipe.data.face_size
    source, votes = _faces_of(run, data, votes)
    console = Console()
    with Console(stderr=True).status(f"Reading {source}") as status:
        table = load(source, votes=votes, size=face_size)
        status.update(f"Exporting {run} and proving it on {split}")
        done = [export_run(run, out, faces=table, name=name, split=split, framing=FER2013_FRAMING)]
        _show(done[0], split, console)
        if int8:
            import numpy as np

            from mien.exporting.quantize import quantize_export

            status.update("Quantising to eight bits")
            done.append(quantize_export(done[0], table, np.random.default_rng(0), split=split))
            _show_int8(done[1], split, console)
        if calibrate:
            from mien.evaluation.latency import time_one_face
            from mien.exporting.calibrate import completed_card, measure
            from mien.exporting.card import write_card

            for exported in done:
                measured = measure(exported, table, split, tta=tta, tell=status.update)
                card = completed_card(exported.card, split, measured, time_one_face(exported))
                write_card(card, exported.onnx)
                console.print(_calibration(exported, split, measured))


def _faces_of(run: Path, data: str | None, votes: Path | None) -> tuple[str, Path | None]:
    """The data and votes to use: what was said, or else what the run was started with."""
    if data is not None:
        return data, votes
    path = run / "run.json"
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))["options"]
        return str(asked["data"]), votes or (Path(asked["votes"]) if asked["votes"] else None)
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} does not say where the run's faces were. Give them with --data PATH, and their votes, "
            "if there are any, with --votes."
        ) from None


def _show(exported: Exported, split: str, console: Console) -> None:
    card = exported.card
    _wrote(exported, console)
    console.print(
        f"{card.backbone} at {card.network_size} px, {card.parameters / 1e6:.2f} M parameters, "
        f"{card.macs / 1e6:.1f} M multiply-accumulates a face"
    )
    for head, found in exported.agreement.items():
        console.print(
            f"torch and ONNX Runtime agree on {split}, head {head}: {found.faces:,} faces, probabilities to "
            f"{found.max_dp:.1g}, every top answer the same"
        )


def _show_int8(exported: Exported, split: str, console: Console) -> None:
    _wrote(exported, console)
    for head, found in exported.agreement.items():
        console.print(
            f"eight bits against float32 on {split}, head {head}: the same top answer on "
            f"{found.same_top / found.faces:.2%} of {found.faces:,} faces"
        )
    accuracy = exported.card.training["export"]["int8"].get("accuracy")
    if accuracy:
        console.print(f"accuracy {accuracy['int8']:.2%}, where float32 has {accuracy['float32']:.2%}")


def _wrote(exported: Exported, console: Console) -> None:
    size = exported.onnx.stat().st_size / 1e6
    console.print(f"\n[bold]{exported.card.name}[/bold] {exported.onnx} ({size:.1f} MB) and its card")


def _calibration(exported: Exported, split: str, measured: dict[str, MeasuredHead]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"{exported.card.name} on {split}",
        title_justify="left",
        caption="ECE: calibration error on the half that the temperature was not fitted on; crossed: of all "
        "faces, each by the temperature of the other half, over 20 halvings; chance: that of a perfect model",
        caption_justify="left",
    )
    table.add_column("head")
    for column in (
        "accuracy",
        "macro F1",
        "temperature",
        "ECE before",
        "ECE after",
        "cross_validated",
        "chance",
        "90 % sets: size, coverage",
    ):
        table.add_column(column, justify="right")
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
