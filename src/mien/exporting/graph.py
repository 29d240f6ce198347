"""A network as an ONNX graph: uint8 pixels in, logits out, everything between inside the file."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import onnxscript  # noqa: F401  torch's exporter needs it, and fails only halfway through without it
import torch
from torch import Tensor, nn

from mien.errors import ExportError
from mien.training.network.model import ExpressionNet

INPUT = "pixels"
# Resize as torch enlarges came with 18, and ONNX Runtime 1.20, the oldest that mien takes, reads up to 22.
OPSET = 18
# The newest file layout that ONNX Runtime 1.20 reads.
_IR_VERSION = 10


class _Standalone(nn.Module):
    """A network with its scaling of pixels: uint8 (N, S, S) to a tuple of logits (N, C)."""

    def __init__(self, network: ExpressionNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        faces = pixels.unsqueeze(1).to(torch.float32) / 255  # (N, 1, S, S) in 0..1
        return tuple(self.network(faces).values())


def write_onnx(network: ExpressionNet, path: Path, *, input_size: int) -> None:
    """Write a network in evaluation mode as one self-contained ONNX file.

    It takes ``pixels``, uint8 (N, input_size, input_size) with any N, and gives float32 logits (N, C), one
    output per head, named as the head is. Normalisation is folded into the convolutions and so are their
    paddings, and nothing is kept but what the output needs.

    Raises:
        ExportError: torch cannot express the network in ONNX.
    """
    standalone = _Standalone(network).eval()
    # Two faces: torch takes a dimension of one for a constant.
    example = torch.zeros(2, input_size, input_size, dtype=torch.uint8)
    with torch.no_grad():
        standalone(example)  # fills what attention caches at its first pass, which an export must not
    try:
        with warnings.catch_warnings():
            # torch's own use of its own former API.
            warnings.filterwarnings("ignore", message=r"`?isinstance\(treespec, LeafSpec\)")
            program = torch.onnx.export(
                standalone,
                (example,),
                input_names=[INPUT],
                output_names=list(network.heads),
                dynamic_shapes={INPUT: {0: torch.export.Dim("N")}},
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, torch.onnx.errors.OnnxExporterError) as error:
        raise ExportError(f"torch cannot express this network in ONNX: {error}") from error
    if program is None:
        raise ExportError("torch gave no ONNX program for this network.")
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes of where things came from: paths, classes, shapes that follow anyway."""
    graph = model.graph
    del graph.value_info[:]
    del model.metadata_props[:]
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    model.ir_version = min(model.ir_version, _IR_VERSION)
    graph.name = "mien"
