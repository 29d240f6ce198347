"""The layers and costs that the study draws are those of the networks that mien builds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mien.models.registry import find_model
from mien.plotting import new_figure
from mien.reports.figures import augmentation
from mien.reports.figures.architecture import find_backbone, layout
from mien.reports.html import embed_image
from mien.reports.network import NetworkDescription, network_of_card, network_of_run, sections
from mien.runs.recipe import Recipe, load_recipe, to_toml
from mien.runs.scaling import BACKBONES
from mien.testing.fakes import overhang
from mien.training.network.cost import count_macs, measure
from mien.training.network.model import build_network

SCALED = [backbone for backbone in BACKBONES if backbone.family != "V2"]
# Two heads, of 7 and 10 answers, each with its bias.
ANSWERS = 17


@pytest.mark.parametrize("name", ["tf_efficientnet_b0", "tf_efficientnet_b3", "tf_efficientnet_lite2"])
@pytest.mark.parametrize("side", [48, None])
def test_costs_by_formula_are_those_counted_while_the_network_runs(name: str, side: int | None) -> None:
    backbone = find_backbone(name)
    assert backbone is not None
    stages = layout(backbone, side or backbone.resolution)
    assert stages is not None
    counted = measure(backbone)
    width = stages[-1].channels
    assert sum(s.parameters for s in stages) + (width + 1) * ANSWERS == counted.parameters
    macs = counted.macs if side is None else counted.macs_at_face_size
    assert sum(s.macs for s in stages) + width * ANSWERS == macs


def test_the_layout_of_b0_is_table_1_of_the_paper() -> None:
    """Tan & Le 2019, table 1: channels and layers of its nine stages; its sides are those at 224 pixels."""
    b0 = find_backbone("tf_efficientnet_b0")
    assert b0 is not None
    stages = layout(b0, 224) or []
    assert [s.channels for s in stages] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert [s.layers for s in stages] == [1, 1, 2, 2, 3, 3, 4, 1, 1]
    assert [s.side for s in stages] == [112, 112, 56, 28, 14, 14, 7, 7, 7]


def test_the_shipped_model_has_the_layers_that_are_drawn_of_it() -> None:
    card = find_model().card
    own = find_backbone(card.backbone)
    assert own is not None
    stages = layout(own, card.network_size) or []
    answers = sum(len(head.labels) for head in card.network_heads)
    assert sum(s.parameters for s in stages) + (stages[-1].channels + 1) * answers == card.parameters


def test_a_network_that_was_searched_afresh_has_no_layout_by_formula() -> None:
    v2 = find_backbone("tf_efficientnetv2_s")
    assert v2 is not None
    assert layout(v2, 48) is None
    names = [section.name for section in sections(NetworkDescription("mine", v2.name, 48, {}))]
    assert names == ["scaling_options", "compound_scaling", "layers_b0"]


def test_the_report_s_network_is_drawn_once_and_another_beside_it() -> None:
    report, other = load_recipe("report").to_dict(), Recipe().to_dict()
    for recipe, size, beside in ((report, 48, False), (report, 64, True), (other, 48, True)):
        network = NetworkDescription("r", "tf_efficientnet_b0", size, recipe)
        assert ("layers" in [section.name for section in sections(network)]) == beside


@pytest.mark.parametrize("recipe", ["report", "quick"])
@pytest.mark.parametrize("side", [48, 64])
def test_the_last_maps_have_as_many_cells_as_those_of_the_network_itself(recipe: str, side: int) -> None:
    """The study wrote that the report's network ends in 2x2 cells; with paddings for 224 pixels it is one."""
    spec = dataclasses.replace(load_recipe(recipe).network, init="random")
    network = build_network(spec, ("fer2013",), seed=0, pretrained=False).eval()
    network.set_size(side)
    with torch.no_grad():
        maps = network.backbone.forward_features(network.enlarge(torch.zeros(1, 1, 48, 48)))
    own = find_backbone(spec.backbone)
    assert own is not None
    stages = layout(own, side, padding_size=spec.padding_size) or []
    assert (stages[-1].channels, stages[-1].side, stages[-1].side) == tuple(maps.shape[1:])
    macs = sum(s.macs for s in stages) + stages[-1].channels * 7
    assert macs == count_macs(network, torch.zeros(1, 1, 48, 48))


def test_the_text_says_how_many_cells_the_last_maps_have_and_whether_faces_are_resized() -> None:
    def texts(recipe: str, size: int) -> dict[str, str]:
        spec = load_recipe(recipe)
        network = NetworkDescription("r", spec.network.backbone, size, spec.to_dict())
        return {section.name: section.text for section in sections(network)}

    report = texts("report", 48)["layers_b0"]
    assert "have a single cell" in report
    assert "paddings for 48 pixels would leave 2×2 cells" in report
    same, larger, smaller = (texts("quick", size)["layers"] for size in (48, 96, 32))
    assert "Faces enter with their own 48 pixels a side. The last maps have 2×2 cells." in same
    assert "Faces of 48 pixels a side are enlarged to 96 inside the network." in larger
    assert "3×3 cells" in larger
    assert "reduced to 32" in smaller
    assert "a single cell" in smaller


def test_the_report_s_transforms_are_those_of_its_section_3_1() -> None:
    """RandomCrop(48, padding=2), RandomAffine(15 degrees, 0.1), RandomHorizontalFlip, RandomAutocontrast."""
    rows = {
        what: (report, ours) for what, report, ours in augmentation.rows({"flip": 0.0, "scale": [0.9, 1.1]})
    }
    assert rows["random crop"][0] == "reaching 2 px beyond the edge"
    assert rows["rotation"][0] == "up to 15° to either side"
    assert rows["shift"][0] == "up to 10% of the side"
    assert rows["mirroring"] == ("left and right of 50% of the faces", "none")
    assert rows["autocontrast"][0] == "50% of the faces"
    assert rows["enlargement"] == ("none", "0.9 to 1.1 times")


def test_a_run_s_network_is_that_of_its_recipe_at_its_last_size(tmp_path: Path) -> None:
    recipe = load_recipe("lite0")
    (tmp_path / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    network = network_of_run(tmp_path)
    assert (network.backbone, network.size) == ("tf_efficientnet_lite0", recipe.schedule.sizes[-1][1])
    assert network.recipe == dataclasses.asdict(recipe)


def test_every_figure_of_a_network_is_drawn_inside_its_edges(tmp_path: Path) -> None:
    for section in sections(network_of_card(find_model().card)):
        figure, axes = new_figure(*section.size)
        section.draw(axes)
        assert overhang(figure) <= 0.01, section.name
        figure.savefig(tmp_path / "figure.png")
        assert embed_image(tmp_path / "figure.png").source.startswith("data:image/")
