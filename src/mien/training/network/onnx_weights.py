"""Weights out of an exported ONNX file, whose normalisation is folded into its convolutions.

For prediction they are used as they are. Training needs the normalisation back: `settle` measures the
outputs of each layer on some faces and sets it from them, so that the network predicts as before, and
normalises again while it is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from mien.errors import ModelError

# As mien.export names what it wraps.
_PREFIX = "network."
# A filter whose output varies less than this carries no information, and is left as it is.
_DEAD = 1e-8


def read_folded(path: Path) -> dict[str, Tensor]:
    """The tensors of an ONNX file that mien wrote, by the names that they have in the network.

    A convolution's folded normalisation is its ``.bias``.

    Raises:
        ModelError: the file cannot be read, or is not of mien.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:
        # onnx and protobuf raise whatever their parsers meet.
        raise ModelError(f"{path} is no ONNX file that can be read: {error}.") from error
    values = {value.name: value for value in graph.initializer}
    state: dict[str, Tensor] = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm") or not node.input[1].startswith(_PREFIX):
            continue
        layer = node.input[1].removeprefix(_PREFIX).removesuffix(".weight")
        for part, name in zip(("weight", "bias"), node.input[1:3], strict=False):
            state[f"{layer}.{part}"] = torch.from_numpy(numpy_helper.to_array(values[name]).copy())
    if not state:
        raise ModelError(
            f"{path} holds no weights by mien's names, or holds them in eight bits. Give a float32 model "
            "that mien export wrote."
        )
    return state


def unfold(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The folded tensors under the network's own names: with them it predicts as the file does.

    Each normalisation passes on what it gets, plus the bias.
    """
    own = network.state_dict()
    # The exporter drops a bias that is zero.
    biases = {
        key: torch.zeros(len(value))
        for key, value in ((f"{name.removesuffix('.weight')}.bias", value) for name, value in state.items())
        if key not in state
    }
    unfolded = {key: value for key, value in (biases | state).items() if key in own}
    for conv, norm in _pairs(network):
        bias, eps = (biases | state)[f"{conv}.bias"], network.get_submodule(norm).eps
        unfolded |= {
            f"{norm}.weight": torch.ones_like(bias),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            f"{norm}.running_var": torch.full_like(bias, 1 - float(eps)),  # type: ignore[arg-type]
            f"{norm}.num_batches_tracked": own[f"{norm}.num_batches_tracked"],
        }
    return unfolded


@torch.no_grad()
def settle(network: nn.Module, pixels: Tensor) -> None:
    """Set each normalisation of an unfolded network from its inputs on these faces.

    Predictions stay the same. Each filter is scaled so that its output has variance 1: the scale of a filter
    before a normalisation decides only how fast it is trained.

    Args:
        pixels: float (N, 1, S, S) in 0..1; the more, the better their mean and variance are known.
    """
    convs = {norm: network.get_submodule(conv) for conv, norm in _pairs(network)}

    def settle_one(conv: nn.Module) -> Any:
        def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
            x = inputs[0]
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            scale = torch.where(variance > _DEAD, variance.sqrt(), 1.0)
            variance = variance / scale**2
            cast(Tensor, conv.weight).div_(scale[:, None, None, None])
            cast(Tensor, norm.running_mean).copy_(mean / scale)
            cast(Tensor, norm.running_var).copy_(variance)
            norm.weight.copy_(scale * (variance + norm.eps).sqrt())
            norm.bias.add_(mean)
            return (x / scale[:, None, None],)

        return hook

    training = network.training
    network.eval()
    with _hooks(
        [
            network.get_submodule(name).register_forward_pre_hook(settle_one(conv))
            for name, conv in convs.items()
        ]
    ):
        network(pixels)
    network.train(training)


def _pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Names of each convolution without bias and of the normalisation behind it, as they are run through."""
    order: list[tuple[str, nn.Module]] = []

    def note(name: str) -> Any:
        return lambda module, _: order.append((name, module))

    handles = [
        module.register_forward_pre_hook(note(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Conv2d) and module.bias is None)
    ]
    training = network.training
    network.eval()
    weight = next(network.parameters())
    with _hooks(handles), torch.no_grad():
        network(torch.zeros(1, 1, 48, 48, device=weight.device))
    network.train(training)
    pairs = []
    for (name, module), (after, norm) in pairwise(order):
        if isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            pairs.append((name, after))
    return pairs


@contextmanager
def _hooks(handles: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
