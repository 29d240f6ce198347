from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mien.data.table import FaceTable
from mien.errors import DataError
from mien.exporting.card import with_measurements
from mien.exporting.onnx import Exported
from mien.exporting.quantize import quantize_export
from mien.models.card import read_card
from mien.models.onnx import OnnxClassifier


@pytest.fixture(scope="module")
def quantized(exported: Exported, table: FaceTable, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    calibrated = with_measurements(exported.card, temperatures={"votes": 0.7}, figures={"PublicTest": {}})
    source = Exported(exported.onnx, calibrated, exported.agreement)
    out = tmp_path_factory.mktemp("int8") / "small-int8.onnx"
    return quantize_export(source, table, np.random.default_rng(0), out=out)


def test_weights_are_eight_bits_with_a_scale_a_channel(quantized: Exported) -> None:
    graph = onnx.load(quantized.onnx).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    producers = {output: node for node in graph.node for output in node.output}
    assert convolutions
    for node in convolutions:
        weight, scale = (tensors[name] for name in producers[node.input[1]].input[:2])
        assert weight.data_type == onnx.TensorProto.INT8
        assert list(scale.dims) == [weight.dims[0]]


def test_the_file_is_much_smaller(quantized: Exported, exported: Exported) -> None:
    # This small a network is half bookkeeping; of Lite0, 28 % are left.
    assert quantized.onnx.stat().st_size < 0.7 * exported.onnx.stat().st_size


def test_the_card_states_what_eight_bits_cost(
    quantized: Exported, exported: Exported, table: FaceTable
) -> None:
    faces = table.split("PublicTest")
    facts = read_card(quantized.onnx.with_suffix(".json")).training["export"]["int8"]
    answers = [
        OnnxClassifier(model.onnx, head="fer2013").predict(faces.pixels) for model in (exported, quantized)
    ]
    float32, int8 = ((answer.argmax(1) == faces.labels).mean() for answer in answers)
    assert facts["accuracy"] == {
        "split": "PublicTest",
        "float32": pytest.approx(float32),
        "int8": pytest.approx(int8),
        "drop": pytest.approx(float32 - int8),
    }
    found = facts["agreement_with_float32"]["fer2013"]
    assert found["max_dp"] == pytest.approx(np.abs(answers[0] - answers[1]).max(), rel=1e-3)
    assert found["same_top"] == (answers[0].argmax(1) == answers[1].argmax(1)).sum()
    assert facts["calibrated_on"] == {"split": "Training", "faces": 32}
    assert f"{int8:.2%}" in quantized.card.notes[-1]


def test_it_says_nearly_what_the_float32_model_says(quantized: Exported) -> None:
    assert all(0 < found.max_dp < 0.1 for found in quantized.agreement.values())


def test_calibration_and_figures_of_the_float32_model_are_not_taken_over(quantized: Exported) -> None:
    assert quantized.card.head("votes").temperature == 1
    assert quantized.card.figures == {}


def test_the_file_stands_beside_the_float32_one_by_default(
    exported: Exported, table: FaceTable, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(exported.onnx.read_bytes())
    done = quantize_export(Exported(copy, exported.card, exported.agreement), table, np.random.default_rng(0))
    assert (done.onnx, done.card.name) == (tmp_path / "copy-int8.onnx", "copy-int8")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "copy-int8.json",
        "copy-int8.onnx",
        "copy.onnx",
    ]


def test_without_faces_to_take_ranges_from_it_says_so(
    exported: Exported, table: FaceTable, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="Training"):
        quantize_export(
            exported, table.split("PublicTest"), np.random.default_rng(0), out=tmp_path / "a-int8.onnx"
        )
    assert list(tmp_path.iterdir()) == []
