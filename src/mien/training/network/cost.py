"""What a network costs: its parameters, and the multiply-accumulates of one face."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from mien.runs.recipe_sections import NetworkRecipe
from mien.runs.scaling import FACE_SIZE, Backbone
from mien.training.network.model import build_network


@dataclass(frozen=True)
class Cost:
    """Learned parameters of a network, and the multiply-accumulates of one face at two resolutions."""

    parameters: int
    macs: int
    macs_at_face_size: int


@cache
def measure(backbone: Backbone, heads: tuple[str, ...] = ("fer2013", "votes")) -> Cost:
    """The cost of a backbone as mien builds it: one input channel, mien's heads, no ImageNet classifier.

    The network is built without memory for its weights and run, at its own resolution
    and at the 48 px of FER2013.
    """
    spec = NetworkRecipe(backbone=backbone.name, init="random", size=FACE_SIZE)
    with torch.device("meta"), _no_normalisation():
        network = build_network(spec, heads, seed=0, pretrained=False).eval()
        face = torch.zeros(1, 1, FACE_SIZE, FACE_SIZE)
        at_face_size = count_macs(network, face)
        network.set_size(backbone.resolution)
        return Cost(count_parameters(network), count_macs(network, face), at_face_size)


@contextmanager
def _no_normalisation() -> Iterator[None]:
    """Inside, batch normalisation is skipped: it changes no shape and is not counted.

    Without memory it is computed in Python, which is half of the time of `measure`.
    """

    class PassOver(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return args[0] if func is functional.batch_norm else func(*args, **(kwargs or {}))

    with PassOver():
        yield


def count_parameters(network: nn.Module) -> int:
    """The learned numbers of a network; running statistics of normalisation are not among them."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of convolutions and matrix products on one example, counted while they run.

    Additions of biases, normalisation, activations, pooling and the enlarging of the input are left out,
    as the papers leave them out.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(example)
    return int(counter.get_total_flops()) // 2  # it counts a multiplication and an addition as two
