"""A model repository for Triton, checked against Triton's own protocol buffer of the configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mien.cli.app import app
from mien.errors import UnknownModel, UsageError
from mien.exporting.triton import write_triton_repository
from mien.models.onnx import OnnxModel
from mien.models.registry import find_model
from mien.models.runtime import open_session, run_session


def config_of(place: Path):
    """The configuration, parsed by Triton's definition; an unknown field or value is an error."""
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    return text_format.Parse((place / "config.pbtxt").read_text(), messages.ModelConfig()), messages


def test_the_configuration_is_one_of_triton_and_fits_the_model(tmp_path: Path) -> None:
    place = write_triton_repository("mien-lite0", tmp_path / "models")
    config, messages = config_of(place)
    assert (config.name, config.platform) == ("mien-lite0", "onnxruntime_onnx")
    assert config.max_batch_size == 64
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    session = open_session(place / "1" / "model.onnx")
    (pixels,) = session.get_inputs()
    assert [(each.name, list(each.dims)) for each in config.input] == [(pixels.name, pixels.shape[1:])]
    assert config.input[0].data_type == messages.TYPE_UINT8
    outputs = {each.name: each.shape[1:] for each in session.get_outputs()}
    assert {each.name: list(each.dims) for each in config.output} == outputs
    for output in config.output:
        assert output.data_type == messages.TYPE_FP32
        assert len((place / output.label_filename).read_text().splitlines()) == output.dims[0]


def test_what_the_repository_says_gives_the_probabilities_of_mien(tmp_path: Path) -> None:
    place = write_triton_repository("mien-tiny", tmp_path, max_batch=8)
    config, _ = config_of(place)
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    logits = run_session(open_session(place / "1" / "model.onnx"), ["votes"], {"pixels": crops}, "it")[0]
    scaled = logits / float(config.parameters["temperature.votes"].string_value)
    shares = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, OnnxModel("mien-tiny").predict(crops)["votes"], atol=1e-6)


def test_the_command_writes_a_repository_of_a_shipped_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", "mien-tiny", "--triton", str(tmp_path / "models")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "models" / "mien-tiny" / "1" / "model.onnx").read_bytes() == find_model(
        "mien-tiny"
    ).onnx.read_bytes()
    assert "mien-tiny" in result.stdout


def test_unknown_models_and_bad_numbers_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        write_triton_repository("nobody", tmp_path)
    with pytest.raises(UsageError, match="max_batch must be 1 or more"):
        write_triton_repository("mien-tiny", tmp_path, max_batch=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_triton_repository("mien-tiny", tmp_path / "file")
