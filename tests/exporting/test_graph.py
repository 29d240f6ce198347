from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from mien.errors import ExportError
from mien.exporting.graph import write_onnx
from mien.exporting.parity import run_onnx
from mien.models.runtime import open_session
from mien.training.classifier import logits_of
from mien.training.network.model import ExpressionNet, StaticSameConv2d


class SmallBackbone(nn.Module):
    """What an EfficientNet is made of, one of each: SAME convolution, normalisation, ReLU6, pooling."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv = StaticSameConv2d(1, 4, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu6(self.norm(self.conv(x))).mean((2, 3))


@pytest.fixture(scope="module")
def network() -> ExpressionNet:
    torch.manual_seed(1)
    network = ExpressionNet(
        SmallBackbone(), {"fer2013": 7, "votes": 10}, size=96, drop_rate=0.5, mean=0.4, std=0.3
    )
    network.backbone.norm.running_mean.uniform_(-1, 1)
    network.backbone.norm.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def file(network: ExpressionNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "small.onnx"
    write_onnx(network, path, input_size=48)
    return path


def _faces(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 48, 48)).astype(np.uint8)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_any_number_of_faces_gets_the_logits_of_torch(network: ExpressionNet, file: Path, n: int) -> None:
    expected, got = logits_of(network, _faces(n)), run_onnx(file, _faces(n))
    assert list(got) == ["fer2013", "votes"]
    for head, logits in expected.items():
        np.testing.assert_allclose(got[head], logits, atol=1e-5)


def test_the_file_takes_bytes_and_names_its_outputs_after_the_heads(file: Path) -> None:
    session = open_session(file)
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape) == ("pixels", "tensor(uint8)", ["N", 48, 48])
    outputs = [(output.name, output.type, output.shape[1]) for output in session.get_outputs()]
    assert outputs == [("fer2013", "tensor(float)", 7), ("votes", "tensor(float)", 10)]


def test_normalisation_and_padding_are_folded_into_the_convolution(file: Path) -> None:
    operators = [node.op_type for node in onnx.load(file).graph.node]
    assert "BatchNormalization" not in operators
    assert "Pad" not in operators
    assert "Constant" not in operators
    (convolution,) = [node for node in onnx.load(file).graph.node if node.op_type == "Conv"]
    pads = next(list(a.ints) for a in convolution.attribute if a.name == "pads")
    assert pads == [0, 0, 1, 1]  # SAME at stride 2 pads an even side at its end only


def test_the_file_is_one_file_that_old_runtimes_read_and_says_nothing_of_its_source(file: Path) -> None:
    model = onnx.load(file, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert 17 <= model.opset_import[0].version <= 20
    assert model.ir_version <= 10
    content = file.read_bytes()
    assert b".py" not in content
    assert b"SmallBackbone" not in content
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


class Unspeakable(SmallBackbone):
    """Its way depends on the pixels, which no graph can say."""

    def forward(self, x: Tensor) -> Tensor:
        features = super().forward(x)
        return features * 2 if features.sum().item() > 0 else features


def test_a_network_that_onnx_cannot_express_is_an_export_error(tmp_path: Path) -> None:
    network = ExpressionNet(Unspeakable(), {"fer2013": 7}, size=48, drop_rate=0, mean=0.5, std=0.5).eval()
    with pytest.raises(ExportError, match="cannot express"):
        write_onnx(network, tmp_path / "no.onnx", input_size=48)
