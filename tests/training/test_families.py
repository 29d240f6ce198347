"""Any classifier of timm takes gray faces, learns, and is exported: one network of each of ten families."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from mien.errors import RecipeError, UsageError
from mien.exporting.graph import write_onnx
from mien.exporting.parity import run_onnx
from mien.runs.recipe import from_dict
from mien.runs.recipe_sections import NetworkRecipe
from mien.training.classifier import logits_of
from mien.training.data.loader import Batch
from mien.training.distributed import World
from mien.training.gradcam import GradCam, layers_of
from mien.training.learner import Learner
from mien.training.network.model import build_network

HEADS = ("fer2013", "votes")
# The smallest network of each family, and the smallest side that it takes.
FAMILIES = {
    "test_resnet": 32,
    "test_convnext": 32,
    "test_vit": 32,
    "mobilenetv3_small_050": 32,
    "efficientformerv2_s0": 64,
    "regnetx_002": 32,
    "test_byobnet": 32,
    "test_nfnet": 32,
    "test_mambaout": 32,
    "test_coatnet": 32,
}


@pytest.mark.parametrize(("backbone", "size"), FAMILIES.items())
def test_a_family_learns_a_batch_and_is_exported_as_it_is(backbone: str, size: int, tmp_path: Path) -> None:
    recipe = from_dict({"network": {"backbone": backbone, "init": "random", "size": size}})
    learner = Learner(
        recipe,
        HEADS,
        steps=4,
        batch=4,
        device=torch.device("cpu"),
        world=World(),
        pretrained=True,
        note=lambda text: None,
    )
    before = {name: value.clone() for name, value in learner.network.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    labels = torch.eye(7)[:4]
    votes = torch.eye(10)[:4]
    batch = Batch(
        torch.rand(4, 1, 48, 48, generator=generator), {"fer2013": labels, "votes": votes}, labels, seed=1
    )
    sums, norm = learner.update(batch)
    assert torch.isfinite(sums).all()
    assert norm > 0
    first = next(module for module in learner.network.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 1
    changed = [name for name, value in learner.network.named_parameters() if not value.equal(before[name])]
    assert {"heads.fer2013.weight", "heads.votes.weight"} < set(changed)

    network = learner.network.eval()
    write_onnx(network, tmp_path / "net.onnx", input_size=48)
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8)
    exported = run_onnx(tmp_path / "net.onnx", faces)
    for head, logits in logits_of(network, faces).items():
        np.testing.assert_allclose(exported[head], logits, atol=1e-4)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_convnext"])
def test_weights_for_colour_become_those_for_gray_as_timm_adapts_them(backbone: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    spec = NetworkRecipe(backbone=backbone, init="random", size=160, mean=0.0, std=1.0)
    colour = timm.create_model(backbone, num_classes=0).eval()
    path = tmp_path / "colour.safetensors"
    save_file({name: value.contiguous() for name, value in colour.state_dict().items()}, path)
    gray = build_network(replace(spec, init=str(path)), HEADS, seed=0).eval()
    x = torch.rand(1, 1, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(gray.backbone(x), colour(x.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


def test_a_network_of_a_fixed_size_says_which() -> None:
    with pytest.raises(RecipeError, match=r"48 x 48 pixels .*made for 224 x 224: set network\.size=224"):
        build_network(NetworkRecipe(backbone="efficientformer_l1", init="random"), HEADS, seed=0)


def test_a_transformer_keeps_its_size() -> None:
    network = build_network(NetworkRecipe(backbone="vit_tiny_patch16_224", init="random"), HEADS, seed=0)
    with pytest.raises(RecipeError, match="cannot take faces of 64 x 64"):
        network.set_size(64)


def test_grad_cam_explains_the_stages_of_other_networks_and_says_where_there_are_none() -> None:
    network = build_network(NetworkRecipe(backbone="test_resnet", init="random"), HEADS, seed=0).eval()
    assert layers_of(network) == {"act1": 24, "layer1": 12, "layer2": 6, "layer3": 3, "layer4": 2}
    maps = GradCam(network).maps(np.full((2, 48, 48), 90, np.uint8), np.array([0, 3]))
    assert maps.shape == (2, 48, 48)
    vit = build_network(NetworkRecipe(backbone="test_vit", init="random"), HEADS, seed=0).eval()
    with pytest.raises(UsageError, match="no layer of VisionTransformer gives maps"):
        layers_of(vit)
