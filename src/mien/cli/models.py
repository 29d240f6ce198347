"""`mien models`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli import options
from mien.errors import MissingExtra

if TYPE_CHECKING:
    from rich.table import Table

    from mien.models.registry import ModelFile
    from mien.runs.scaling import Backbone
    from mien.training.network.cost import Cost

_EXPLANATION = """\
[bold]Compound scaling[/bold] (Tan & Le 2019): one exponent φ sets how much larger a network becomes. Three \
bases distribute the growth: {alpha}^φ multiplies the layers (depth), {beta}^φ the channels (width), and \
{gamma}^φ the side of the image. The cost of a convolution is linear in the layers, and quadratic in the \
channels and in the side: {alpha} × {beta}² × {gamma}² = {product:.2f}, so each step of φ about doubles the \
cost. φ above is the exponent that fits the three published, rounded multipliers best. For b7 it predicts \
{predicted:.0f} times the MACs of b0; the counted number is {counted:.0f} times.

Lite has no squeeze-and-excitation, ReLU6 in place of SiLU, and an unscaled stem and head. V2 is a new \
architecture search; only its b1 to b3 are scaled, from b0.

Learned parameters and multiply-accumulates (MACs) per face are counted on the networks as mien builds them: \
one gray channel, two heads, no ImageNet classifier. "at 48" is FER2013's own size; "MACs" is at the \
resolution beside it. Each name can be a recipe's network.backbone."""


_Backbones = Annotated[
    bool,
    options.option(
        options.OUTPUT,
        "--backbones",
        "Also list the backbones that can be trained, with what they cost. Needs the extra train, and some "
        "seconds: each network is built and counted.",
    ),
]


def models(as_json: options.Json = False, backbones: _Backbones = False) -> None:
    """List the shipped models with their figures, and on request the backbones that can be trained."""
    from mien.models.registry import find_model, shipped

    files = [find_model(name) for name in shipped()]
    measured: list[tuple[Backbone, Cost]] = []
    if backbones:
        try:
            measured = _measure_all()
        except ModuleNotFoundError as error:
            raise MissingExtra(f"The table of backbones (package {error.name!r})", "train") from error
    if as_json:
        document: dict[str, Any] = {"models": [_model_fields(model) for model in files]}
        if backbones:
            document["backbones"] = [_backbone_fields(backbone, cost) for backbone, cost in measured]
        typer.echo(json.dumps(document, indent=2))
        return
    _print_tables(files, measured)


def _print_tables(files: list[ModelFile], measured: list[tuple[Backbone, Cost]]) -> None:
    from rich.console import Console

    console = Console()
    if files:
        console.print(_shipped_table(files))
    else:
        console.print("No model ships with this installation.\n")
    if not measured:
        console.print("The backbones that can be trained: mien models --backbones.", highlight=False)
        return
    console.print(_backbone_table(measured))
    console.print(_explain(measured), highlight=False)


def _explain(measured: list[tuple[Backbone, Cost]]) -> str:
    from mien.runs.scaling import ALPHA, BETA, GAMMA, cost

    costs = {backbone.name: (backbone, cost_of) for backbone, cost_of in measured}
    (_, small), (large, largest) = costs["tf_efficientnet_b0"], costs["tf_efficientnet_b7"]
    return _EXPLANATION.format(
        alpha=ALPHA,
        beta=BETA,
        gamma=GAMMA,
        product=cost(1),
        predicted=cost(large.phi or 0),
        counted=largest.macs / small.macs,
    )


def _measure_all() -> list[tuple[Backbone, Cost]]:
    """The parameters and multiply-accumulates of every backbone."""
    from mien.cli.progress import progress_bar
    from mien.runs.scaling import BACKBONES
    from mien.training.network import cost

    measured = []
    with progress_bar() as bar:
        advance = bar.stage("counting", len(BACKBONES))
        for backbone in BACKBONES:
            bar.describe(f"building {backbone.name} to count what it costs")
            measured.append((backbone, cost.measure(backbone)))
            advance(1)
    return measured


def _model_fields(model: ModelFile) -> dict[str, Any]:
    """A shipped model as plain values: its card, and its size on disk."""
    return {**json.loads(model.card.to_json()), "bytes": model.onnx.stat().st_size}


def _backbone_fields(backbone: Backbone, cost: Cost) -> dict[str, Any]:
    return {
        "name": backbone.name,
        "family": backbone.family,
        "phi": backbone.phi,
        "depth": backbone.depth,
        "width": backbone.width,
        "resolution": backbone.resolution,
        "resolution_multiplier": backbone.resolution_multiplier,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "macs_at_48": cost.macs_at_face_size,
    }


def _shipped_table(files: list[ModelFile]) -> Table:
    """One column per model."""
    table = _table("Shipped models", "")
    for model in files:
        table.add_column(model.card.name, justify="right", overflow="fold")
    facts: dict[str, Callable[[ModelFile], str]] = {
        "backbone": lambda m: m.card.backbone,
        "inner resolution": lambda m: f"{m.card.network_size} px",
        "parameters": lambda m: f"{m.card.parameters / 1e6:.2f} M",
        "MACs per face": lambda m: f"{m.card.macs / 1e6:.1f} M",
        "licence of the weights": lambda m: m.card.licence.partition(" ")[0],
        "file": lambda m: f"{m.onnx.stat().st_size / 1e6:.1f} MB",
    }
    for label, show in facts.items():
        table.add_row(label, *map(show, files))
    for split in dict.fromkeys(split for model in files for split in model.card.figures):
        table.add_section()
        table.add_row(f"[bold]{split}[/bold]", *[""] * len(files))
        shown = [_figures(model.card.figures.get(split, {})) for model in files]
        for label in shown[0]:
            table.add_row(label, *(figures[label] for figures in shown))
    table.caption = "What is known and unsettled about their data: docs/provenance.md."
    if not any(model.card.figures for model in files):
        table.caption = "Their cards have no figures."
    return table


def _figures(by_head: dict[str, Any]) -> dict[str, str]:
    """A card's figures of one split as text, by what they are."""
    labels, votes = by_head.get("fer2013"), by_head.get("votes")
    fitted = by_head.get("calibration", {}).get("fer2013")
    return {
        "accuracy, 7 classes": f"{labels['accuracy']:.1%}" if labels else "not measured",
        "  95 % interval": _interval(labels["accuracy_ci95"]) if labels else "",
        "macro F1": f"{labels['macro_f1']:.1%}" if labels else "",
        # Of the half that the temperature was not fitted on.
        "calibration error (ECE)": f"{fitted['ece_after']:.3f}" if fitted else "",
        "accuracy, FER+ majority": f"{votes['accuracy']:.1%}" if votes else "not measured",
        "  95 % interval ": _interval(votes["accuracy_ci95"]) if votes else "",
    }


def _backbone_table(measured: list[tuple[Backbone, Cost]]) -> Table:
    table = _table("Backbones to train, by timm's name", "backbone")
    for column in ("φ", "depth", "width", "resolution", "param. M", "MACs M", "at 48"):
        table.add_column(column, justify="right", no_wrap=True)
    previous = ""
    for backbone, cost in measured:
        if previous not in ("", backbone.family):
            table.add_section()
        previous = backbone.family
        table.add_row(
            backbone.name,
            _one_decimal(backbone.phi),
            _one_decimal(backbone.depth),
            _one_decimal(backbone.width),
            f"{backbone.resolution}"
            + ("       " if backbone.phi is None else f" ×{backbone.resolution_multiplier:.2f}"),
            f"{cost.parameters / 1e6:.1f}",
            f"{cost.macs / 1e6:,.0f}",
            f"{cost.macs_at_face_size / 1e6:.0f}",
        )
    return table


def _one_decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _table(title: str, first: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column(first, no_wrap=True)
    return table


def _interval(interval: list[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
