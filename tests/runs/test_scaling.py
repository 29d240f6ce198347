from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import nn

from mien.runs.recipe import Network
from mien.runs.scaling import (
    ALPHA,
    BACKBONES,
    BETA,
    GAMMA,
    Backbone,
    cost,
    count_macs,
    count_parameters,
    fit_phi,
    measure,
    multipliers,
)
from mien.training.network.model import build_network

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


def test_macs_of_a_convolution_are_those_of_the_hand() -> None:
    # 6x6 outputs x 8 channels out x 4 in / 2 groups x 3x3
    convolution = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
    assert count_macs(convolution, torch.zeros(1, 4, 12, 12)) == 6 * 6 * 8 * 2 * 9


def test_macs_of_a_small_network_are_those_of_the_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),  # 10 x 10 x 16 x 1 x 9
        nn.BatchNorm2d(16),  # not counted
        nn.ReLU(),
        nn.Conv2d(16, 16, 5, padding=2, groups=16),  # depthwise: 10 x 10 x 16 x 25
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 7),  # 16 x 7
    ).eval()
    assert count_macs(network, torch.zeros(1, 1, 10, 10)) == 14_400 + 40_000 + 112
    assert count_parameters(network) == 144 + 32 + (400 + 16) + (112 + 7)


def test_macs_of_b0_are_those_of_the_paper() -> None:
    """0.39 billion in table 2, with three input channels and a classifier of 1,000 classes."""
    with torch.device("meta"):
        network = timm.create_model("tf_efficientnet_b0").eval()
    assert count_macs(network, torch.zeros(1, 3, 224, 224, device="meta")) == pytest.approx(0.39e9, rel=0.015)
    assert count_parameters(network) == pytest.approx(5.3e6, rel=0.01)


def test_the_cost_of_a_backbone_is_that_of_the_network_that_would_be_trained() -> None:
    """It is measured without weights and without normalisation: a real network must cost the same."""
    backbone = BY_NAME["tf_efficientnet_lite0"]
    network = build_network(
        Network(backbone=backbone.name, init="random", size=48), ("fer2013", "votes"), seed=0
    ).eval()
    face = torch.zeros(1, 1, 48, 48)
    found = measure(backbone)
    assert found.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert found.macs_at_face_size == count_macs(network, face)
    network.set_size(backbone.resolution)
    assert found.macs == count_macs(network, face)


def test_a_backbone_is_measured_once() -> None:
    backbone = BY_NAME["tf_efficientnet_lite0"]
    assert measure(backbone) is measure(backbone)
