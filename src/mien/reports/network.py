"""The network as a chapter of the study: how EfficientNets grow, and what the layers of this one are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.models.card import Card
from mien.reports.document import Chapter, Section
from mien.reports.figures import architecture
from mien.reports.figures.architecture import NetworkStage, find_backbone, layout
from mien.reports.figures.augmentation import transforms_section
from mien.runs.recipe import load_recipe
from mien.runs.scaling import ALPHA, BACKBONES, BETA, GAMMA, cost

# What the report trained: B0, fed with FER2013's own 48 pixels.
_REPORT = ("tf_efficientnet_b0", 48)

_TEXT = (
    "An EfficientNet is a row of inverted bottlenecks (MBConv): each widens its input with a 1×1 "
    "convolution, looks at every channel by itself with a 3×3 or 5×5 one, and narrows the result again. "
    "That is cheap, so the same computing buys a better network. The family's other idea is how to make it "
    "larger."
)


@dataclass(frozen=True)
class NetworkDescription:
    """What is drawn of a model: its backbone by timm's name, and the recipe that it was trained by.

    `recipe` is plain, as a card or a run holds it; `size` is the side in pixels at which the network works.
    """

    name: str
    backbone: str
    size: int
    recipe: Mapping[str, Any]


def network_of_card(card: Card) -> NetworkDescription:
    """The network of an exported model."""
    return NetworkDescription(card.name, card.backbone, card.network_size, card.training.get("recipe", {}))


def network_of_run(run: Path) -> NetworkDescription:
    """The network of a training run's folder, at the last of the sides that it was trained with.

    Raises:
        RecipeError: the folder's recipe cannot be read.
    """
    recipe = load_recipe(run / "recipe.toml")
    size = recipe.schedule.sizes[-1][1] if recipe.schedule.sizes else recipe.network.size
    return NetworkDescription(run.resolve().name, recipe.network.backbone, size, recipe.to_dict())


def chapter(network: NetworkDescription) -> Chapter:
    """The network, as a chapter of a page."""
    return Chapter("network", "The network and its training", _TEXT, sections(network))


def sections(network: NetworkDescription) -> Iterator[Section]:
    """How EfficientNets grow, the layers of B0 and of this network, and how faces were augmented."""
    yield Section(
        "scaling_options",
        "Ways to a larger network",
        "Each network to the right costs about four times the base. What a convolution costs grows with "
        "layers once, with channels and with the side of the picture twice. Growing one of them alone soon "
        "stops to help; EfficientNet grows all three together.",
        (10, 6.4),
        architecture.draw_scaling_options,
        {
            name: dict(zip(("depth", "width", "resolution"), values, strict=True))
            for name, values in architecture.scaling_options().items()
        },
        report="figure 5",
        alt="Five networks as stacks of bars: a base, a wider, a deeper, one of a larger input, one that is "
        "a little of each.",
    )
    yield Section(
        "compound_scaling",
        "Compound scaling",
        f"One exponent φ decides: layers grow by {ALPHA}^φ, channels by {BETA}^φ, the side by {GAMMA}^φ. "
        f"The bases were found by search under {ALPHA} × {BETA}² × {GAMMA}² = {cost(1):.2f}, about 2, so "
        "that each step of φ doubles the cost. The published networks were rounded by hand, so their marks "
        "lie beside the lines.",
        (8.4, 4.8),
        architecture.draw_scaling,
        {
            backbone.name: {
                "phi": backbone.phi,
                "depth": backbone.depth,
                "width": backbone.width,
                "resolution": backbone.resolution_multiplier,
            }
            for backbone in BACKBONES
            if backbone.family == "EfficientNet"
        },
        report="figure 6",
    )
    yield from _layouts(network)
    if augment := network.recipe.get("augment"):
        yield transforms_section(network.name, augment)


def _layouts(network: NetworkDescription) -> Iterator[Section]:
    name, side = _REPORT
    yield _layout(
        "layers_b0",
        "The layers of EfficientNet-B0",
        f"The network of the report, with its input of {side} pixels. Maps are halved five times, so that "
        "little of such a small face is left: the last layers see it as 2×2 cells.",
        "EfficientNet-B0",
        layout(_backbone(name), side) or [],
        side,
        report="figure 7",
    )
    spec = network.recipe.get("network", {})
    width, depth, stride = spec.get("width", 1.0), spec.get("depth", 1.0), spec.get("stem_stride", 2)
    own = find_backbone(network.backbone)
    if own is None or ((own.name, network.size) == _REPORT and (width, depth, stride) == (1.0, 1.0, 2)):
        return
    stages = layout(own, network.size, stem_stride=stride, width=width, depth=depth)
    if stages is None:
        return
    last = stages[-1].side
    yield _layout(
        "layers",
        f"The layers of {network.name}",
        f"{network.backbone}, whose input is enlarged to {network.size} pixels inside the network: its last "
        f"map has {last}×{last} cells. Enlarging adds no detail, but lets the layers see the detail there "
        "is.",
        network.backbone,
        stages,
        network.size,
    )


def _layout(
    part: str, title: str, text: str, name: str, stages: list[NetworkStage], side: int, report: str = ""
) -> Section:
    macs = sum(stage.macs for stage in stages)
    parameters = sum(stage.parameters for stage in stages)
    return Section(
        part,
        title,
        f"{text} In all {parameters / 1e6:.2f} million parameters before the heads, and {macs / 1e6:.0f} "
        "million multiply-accumulates a face.",
        (12, 3.4),
        lambda axes: architecture.draw_layout(axes, stages, name, side),
        [dataclasses.asdict(stage) for stage in stages],
        report=report,
        alt=f"The {len(stages)} stages of {name} from left to right, as squares that become smaller.",
    )


def _backbone(name: str) -> Any:
    found = find_backbone(name)
    if found is None:
        raise LookupError(name)
    return found
