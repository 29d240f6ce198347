"""The network as a chapter of the study: compound scaling, the layers, and the transforms of its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.models.card import Card
from mien.reports.document import Chapter, Section
from mien.reports.figures import architecture, augmentation
from mien.reports.figures.architecture import NetworkStage, find_backbone, layout
from mien.runs.recipe import load_recipe
from mien.runs.scaling import ALPHA, BACKBONES, BETA, FACE_SIZE, GAMMA, cost

# The network of the report: B0 with FER2013's 48 pixels, and paddings as for 224, because only the stem was
# replaced by one for 48.
REPORT = ("tf_efficientnet_b0", 48)
_REPORT_PADDING = 224

_TEXT = (
    "An EfficientNet is a sequence of inverted bottlenecks (MBConv). Each widens its input with a 1×1 "
    "convolution, filters each channel separately with a 3×3 or 5×5 one, and narrows the result again. "
    "This needs few operations. The second idea of the family is the way in which it is enlarged."
)


@dataclass(frozen=True)
class NetworkDescription:
    """What is shown of a model: its backbone by timm's name, and the recipe of its training.

    `recipe` is plain, as in a card or a run; `size` is the side in pixels at which the network works, and
    `face_size` that of the faces it is given.
    """

    name: str
    backbone: str
    size: int
    recipe: Mapping[str, Any]
    face_size: int = FACE_SIZE


def network_of_card(card: Card) -> NetworkDescription:
    """The network of an exported model."""
    recipe = card.training.get("recipe", {})
    return NetworkDescription(card.name, card.backbone, card.network_size, recipe, card.input_size)


def network_of_run(run: Path) -> NetworkDescription:
    """The network of a training run's folder, at the last of the sides that it was trained with.

    Raises:
        RecipeError: the folder's recipe cannot be read.
    """
    recipe = load_recipe(run / "recipe.toml")
    size = recipe.schedule.sizes[-1][1] if recipe.schedule.sizes else recipe.network.size
    face = recipe.data.face_size
    return NetworkDescription(run.resolve().name, recipe.network.backbone, size, recipe.to_dict(), face)


def chapter(network: NetworkDescription) -> Chapter:
    """The network as a chapter of a page."""
    return Chapter("network", "The network and its training", _TEXT, sections(network))


def sections(network: NetworkDescription) -> Iterator[Section]:
    """Compound scaling, the layers of B0 and of this network, and the transforms of its training."""
    yield Section(
        "scaling_options",
        "Ways to enlarge a network",
        "Each network to the right costs about four times as much as the base. The cost of a convolution "
        "is proportional to the number of layers, and to the square of the channels and of the image side. "
        "Enlarging only one of them soon stops to help; EfficientNet enlarges all three.",
        (10, 6.4),
        architecture.draw_scaling_options,
        {
            name: dict(zip(("depth", "width", "resolution"), values, strict=True))
            for name, values in architecture.scaling_options().items()
        },
        report_place="figure 5",
        alt="Five networks as stacks of bars: the base, a wider one, a deeper one, one with a larger input, "
        "and one with some of each.",
    )
    yield Section(
        "compound_scaling",
        "Compound scaling",
        f"One exponent φ sets all three: layers are multiplied by {ALPHA}^φ, channels by {BETA}^φ, the side "
        f"by {GAMMA}^φ. The bases were found by a search with {ALPHA} × {BETA}² × {GAMMA}² = {cost(1):.2f}, "
        "about 2, so that each step of φ doubles the cost. The published networks were rounded by hand, so "
        "their marks are not on the lines.",
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
        report_place="figure 6",
    )
    yield from _layouts(network)
    if augment := network.recipe.get("augment"):
        yield _transforms(network.name, augment)


def _transforms(name: str, augment: Mapping[str, Any]) -> Section:
    """The transforms of a training and of the report, as a table."""
    lines = augmentation.rows(augment)
    return Section(
        "transforms",
        "Transforms of the training faces",
        "A face that is rotated, shifted, mirrored or lit differently still has the same expression. "
        "Training changes each face at random every time, so that the network cannot memorize it. Faces "
        "are not changed for evaluation.",
        (9, 0.6 + 0.33 * (len(lines) + 1)),
        lambda axes: augmentation.draw(axes, lines, name),
        [{"transform": what, "report": theirs, name: ours} for what, theirs, ours in lines],
        report_place="section 3.1",
    )


def _layouts(network: NetworkDescription) -> Iterator[Section]:
    name, side = REPORT
    b0 = next(each for each in BACKBONES if each.name == name)
    report = layout(b0, side, padding_size=_REPORT_PADDING) or []
    yield _layout(
        "layers_b0",
        "The layers of EfficientNet-B0",
        f"The network of the report, with its input of {side} pixels. The side of the maps is halved five "
        f"times. The report's code has the paddings for {_REPORT_PADDING} pixels behind the stem, with which "
        f"the last maps of such a small face have {_cells(report)}; paddings for {side} pixels would leave "
        f"{_cells(layout(b0, side) or [])}.",
        "EfficientNet-B0",
        report,
        side,
        report_place="figure 7",
    )
    spec = network.recipe.get("network", {})
    width, depth, stride = spec.get("width", 1.0), spec.get("depth", 1.0), spec.get("stem_stride", 2)
    own = find_backbone(network.backbone)
    if own is None:
        return
    padding = spec.get("padding_size", 0)
    stages = layout(own, network.size, stem_stride=stride, width=width, depth=depth, padding_size=padding)
    if stages is None or ((own.name, network.size) == REPORT and stages == report):
        return
    yield _layout(
        "layers",
        f"The layers of {network.name}",
        f"{network.backbone}. {_input(network)} The last maps have {_cells(stages)}.",
        network.backbone,
        stages,
        network.size,
    )


def _cells(stages: Sequence[NetworkStage]) -> str:
    """How many cells the maps of the last stage have, in words."""
    side = stages[-1].side
    return "a single cell" if side == 1 else f"{side}×{side} cells"


def _input(network: NetworkDescription) -> str:
    """How faces enter the network: resized, if they are."""
    face, size = network.face_size, network.size
    if face == size:
        return f"Faces enter with their own {size} pixels a side."
    if face > size:
        return f"Faces of {face} pixels a side are reduced to {size} inside the network."
    return (
        f"Faces of {face} pixels a side are enlarged to {size} inside the network. Enlarging adds no "
        "detail, but the layers can use the detail that exists."
    )


def _layout(
    part: str, title: str, text: str, name: str, stages: list[NetworkStage], side: int, report_place: str = ""
) -> Section:
    macs = sum(stage.macs for stage in stages)
    parameters = sum(stage.parameters for stage in stages)
    return Section(
        part,
        title,
        f"{text} In total {parameters / 1e6:.2f} million parameters before the heads, and {macs / 1e6:.0f} "
        "million multiply-accumulates per face.",
        (12, 3.4),
        lambda axes: architecture.draw_layout(axes, stages, name, side),
        [dataclasses.asdict(stage) for stage in stages],
        report_place=report_place,
        alt=f"The {len(stages)} stages of {name} from left to right, as squares that become smaller.",
    )
