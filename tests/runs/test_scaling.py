from __future__ import annotations

import math

import pytest
import timm
import torch

from mien.runs.scaling import ALPHA, BACKBONES, BETA, GAMMA, Backbone, cost, fit_phi, multipliers

BY_NAME = {backbone.name: backbone for backbone in BACKBONES}
# Layers a stage of b0, stages 1 to 7. Source: table 1 of Tan & Le 2019.
B0_LAYERS = (1, 2, 2, 3, 3, 4, 1)


def test_a_step_of_phi_about_doubles_the_cost() -> None:
    """Section 3.3 of the paper: alpha * beta^2 * gamma^2 ~ 2, so the cost grows by 2^phi."""
    assert abs(ALPHA * BETA**2 * GAMMA**2 - 2) < 0.1
    assert cost(0) == 1
    assert cost(3) == pytest.approx(cost(1) ** 3)


def test_phi_is_found_again_from_its_multipliers() -> None:
    for phi in (-1.5, 0, 0.5, 1, 6.3):
        assert fit_phi(*multipliers(phi)) == pytest.approx(phi)


def test_phi_of_the_family_rises_from_b0_to_b7() -> None:
    phis = [BY_NAME[f"tf_efficientnet_b{i}"].phi for i in range(8)]
    assert phis[0] == 0
    assert phis[2] == pytest.approx(1, abs=0.05)  # 1.2, 1.1, 1.16: the bases themselves
    assert phis == sorted(phis)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda backbone: backbone.name)
def test_resolutions_are_those_of_timm(backbone: Backbone) -> None:
    assert timm.get_pretrained_cfg(backbone.name).input_size[-1] == backbone.resolution


@pytest.mark.parametrize("index", range(8))
def test_multipliers_are_those_that_timm_builds_with(index: int) -> None:
    """Layers are b0's times depth, rounded up; the stem's 32 channels times width, to a multiple of 8."""
    backbone = BY_NAME[f"tf_efficientnet_b{index}"]
    with torch.device("meta"):
        network = timm.create_model(backbone.name)
    layers = tuple(len(stage) for stage in network.blocks)
    assert layers == tuple(math.ceil(layers * backbone.depth) for layers in B0_LAYERS)
    assert network.conv_stem.out_channels == 8 * round(32 * backbone.width / 8)
