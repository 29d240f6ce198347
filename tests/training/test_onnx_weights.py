"""Weights out of an exported file: a network of them answers as the file does, and can learn on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien.errors import ModelError
from mien.exporting.graph import write_onnx
from mien.models.runtime import open_session
from mien.runs.recipe_sections import NetworkRecipe
from mien.training.network.model import ExpressionNet, build_network
from mien.training.network.onnx_weights import settle

HEADS = ("fer2013", "votes")
# Plain convolutions, and ones with squeeze-and-excitation, whose own biases are no folded normalisation.
BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_b0")


@pytest.fixture(scope="module", params=BACKBONES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[NetworkRecipe, Path]:
    """A network with statistics of its own, as a file."""
    spec = NetworkRecipe(backbone=request.param, init="random", size=48, width=0.25, depth=0.3)
    network = build_network(spec, HEADS, seed=5)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low in ((module.weight, 0.5), (module.bias, -0.2)):
                values.data = torch.rand(values.shape, generator=generator) + low
    network.train()
    with torch.no_grad():
        network(faces(32))
    path = tmp_path_factory.mktemp("exported") / "small.onnx"
    write_onnx(network.eval(), path, input_size=48)
    return spec, path


def faces(n: int) -> Tensor:
    return torch.rand(n, 1, 48, 48, generator=torch.Generator().manual_seed(2))


def begun_with(exported: tuple[NetworkRecipe, Path]) -> ExpressionNet:
    spec, path = exported
    fields = {name: getattr(spec, name) for name in ("backbone", "size", "width", "depth")}
    return build_network(NetworkRecipe(init=str(path), drop_rate=0.0, **fields), HEADS, seed=9).eval()


def answers(path: Path, n: int) -> list[np.ndarray]:
    pixels = (faces(n)[:, 0] * 255).round().to(torch.uint8).numpy()
    return list(open_session(path).run(None, {"pixels": pixels}))


def asked(network: ExpressionNet, n: int) -> list[np.ndarray]:
    with torch.no_grad():
        pixels = (faces(n) * 255).round() / 255
        return [logits.numpy() for logits in network(pixels).values()]


def test_a_network_of_exported_weights_answers_as_the_file(exported: tuple[NetworkRecipe, Path]) -> None:
    for ours, theirs in zip(asked(begun_with(exported), 7), answers(exported[1], 7), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_settled_it_answers_the_same_by_its_own_statistics_and_by_the_batchs(
    exported: tuple[NetworkRecipe, Path],
) -> None:
    network = begun_with(exported)
    settle(network, (faces(16) * 255).round() / 255)
    for ours, theirs in zip(asked(network, 16), answers(exported[1], 16), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
    network.train()
    for ours, theirs in zip(asked(network, 16), answers(exported[1], 16), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_settled_filters_put_out_a_variance_of_one(exported: tuple[NetworkRecipe, Path]) -> None:
    """So that what was folded in does not decide how fast a filter learns."""
    network = begun_with(exported)
    settle(network, faces(16))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    variances = torch.cat([m.running_var for m in norms])  # type: ignore[misc]
    living = variances > 1e-6
    assert living.float().mean() > 0.9
    torch.testing.assert_close(variances[living], torch.ones_like(variances[living]), rtol=1e-3, atol=1e-3)


def test_a_file_without_miens_names_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "other.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(ModelError, match="other"):
        build_network(NetworkRecipe(backbone="tf_efficientnet_lite0", init=str(broken)), HEADS, seed=0)


def test_the_shipped_model_can_be_begun_with() -> None:
    spec = NetworkRecipe(backbone="tf_efficientnet_lite0", init="mien-lite0", size=96)
    network = build_network(spec, HEADS, seed=0).eval()
    from mien.models.registry import find_model

    for ours, theirs in zip(asked(network, 3), answers(find_model("mien-lite0").onnx, 3), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
