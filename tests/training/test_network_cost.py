"""What a network costs, against counts by hand, the paper's, and a network that is really built."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from mien.runs.recipe_sections import NetworkRecipe
from mien.runs.scaling import BACKBONES
from mien.training.network.cost import count_macs, count_parameters, measure
from mien.training.network.model import build_network

BY_NAME = {backbone.name: backbone for backbone in BACKBONES}


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
        NetworkRecipe(backbone=backbone.name, init="random", size=48), ("fer2013", "votes"), seed=0
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
