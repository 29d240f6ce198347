"""Grad-CAM is what its paper says, on any layer, and leaves the network as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from mien.data.synthetic.faces import faces
from mien.errors import CardError, UsageError
from mien.runs.recipe_sections import NetworkRecipe
from mien.training.gradcam import GradCam, layers_of
from mien.training.network.model import ExpressionNet, as_input, build_network

CROPS = faces(7, seed=1).pixels
TARGETS = np.array([0, 1, 2, 3, 4, 5, 6])


@pytest.fixture(scope="module")
def network() -> ExpressionNet:
    """Random weights, but running statistics of real inputs, so that maps are not all alike."""
    spec = NetworkRecipe(backbone="tinynet_e", init="random", size=64)
    network = build_network(spec, ("fer2013", "votes"), seed=5)
    network.train()
    for _ in range(30):
        network(as_input(torch.from_numpy(faces(32, seed=2).pixels.copy())))
    return network.eval()


def shown(heat: torch.Tensor) -> np.ndarray:
    """Heat (N, h, w) as `maps` shows it, by torch and NumPy alone."""
    large = functional.interpolate(heat[:, None], size=(48, 48), mode="bilinear", align_corners=False)[:, 0]
    found = large.detach().numpy()
    return found / np.maximum(found.max(axis=(1, 2), keepdims=True), 1e-30)


def test_before_the_mean_it_is_the_class_activation_map(network: ExpressionNet) -> None:
    """There, weights are those of the head's row (Zhou et al. 2016): no gradient is needed to know them."""
    with torch.no_grad():
        pixels = network.enlarge(as_input(torch.from_numpy(CROPS.copy())))
        features = network.backbone.forward_features(pixels)  # type: ignore[operator]
        row = network.heads["fer2013"].weight[torch.from_numpy(TARGETS)]  # (N, channels)
        heat = torch.einsum("nc,nchw->nhw", row, features).relu()
    np.testing.assert_allclose(
        GradCam(network, layer="bn2").maps(CROPS, TARGETS), shown(heat), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("head", ["fer2013", "votes"])
def test_within_the_network_it_is_gradient_times_map(network: ExpressionNet, head: str) -> None:
    backbone = network.backbone
    pixels = network.enlarge(as_input(torch.from_numpy(CROPS.copy())))
    x = backbone.bn1(backbone.conv_stem(pixels))  # type: ignore[operator]
    blocks = list(backbone.blocks)  # type: ignore[arg-type]
    for block in blocks[:3]:
        x = block(x)
    x.retain_grad()
    after = x
    for block in blocks[3:]:
        after = block(after)
    after = backbone.bn2(backbone.conv_head(after))  # type: ignore[operator]
    logits = network.heads[head](after.mean((2, 3)))
    logits[torch.arange(7), torch.from_numpy(TARGETS)].sum().backward()
    assert x.grad is not None
    heat = (x.grad.mean((2, 3), keepdim=True) * x).sum(1).relu()
    network.zero_grad()
    found = GradCam(network, head=head, layer="blocks.2", batch_size=3).maps(CROPS, TARGETS)
    np.testing.assert_allclose(found, shown(heat), rtol=1e-3, atol=1e-4)


def test_the_network_is_as_it_was_behind(network: ExpressionNet) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    GradCam(network).maps(CROPS, TARGETS)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_the_deepest_layer_with_six_cells_is_looked_at(network: ExpressionNet) -> None:
    sides = layers_of(network)
    assert list(sides.values()) == sorted(sides.values(), reverse=True)
    assert sides["bn2"] == 2
    cam = GradCam(network)
    assert cam.cells == sides[cam.layer] >= 6
    deeper = list(sides)[list(sides).index(cam.layer) + 1]
    assert sides[deeper] < 6


def test_maps_end_at_one_and_follow_the_face_not_its_place_in_the_batch(network: ExpressionNet) -> None:
    cam = GradCam(network, batch_size=4)
    found = cam.maps(CROPS, TARGETS)
    assert found.min() >= 0
    hottest = found.max(axis=(1, 2))
    assert set(np.unique(hottest)) <= {0.0, 1.0}
    np.testing.assert_allclose(cam.maps(CROPS[::-1], TARGETS[::-1])[::-1], found, atol=1e-5)
    assert cam.maps(CROPS[:0], TARGETS[:0]).shape == (0, 48, 48)


def test_no_such_head_or_layer_is_named(network: ExpressionNet) -> None:
    with pytest.raises(CardError, match="it has: fer2013, votes"):
        GradCam(network, head="age")
    with pytest.raises(UsageError, match=r"blocks\.0, .*bn2"):
        GradCam(network, layer="blocks.9")
    with pytest.raises(UsageError, match="uint8"):
        GradCam(network).maps(CROPS.astype(np.float32), TARGETS)  # type: ignore[arg-type]
