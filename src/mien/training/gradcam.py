"""Grad-CAM: which part of a face supports a prediction.

Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", equations 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import CardError, UsageError
from mien.training.network.model import ExpressionNet, as_input

# The last maps of a small input are a few cells, too coarse to tell an eye from a mouth. The deepest with so
# many cells a side are taken: at 96 px, those with a stride of 16.
_LEAST_CELLS = 6


class GradCam:
    """Explains one head of a network.

    Args:
        network: in evaluation mode.
        head: whose predictions are explained.
        layer: the module of the backbone whose maps are weighed, such as ``"blocks.4"``; the deepest with
            maps of 6 x 6 or more for None.
        batch_size: the most faces that go through the network at once.

    Attributes:
        layer: the module that is used.
        cells: how many cells a side its maps have.

    Raises:
        CardError: the network has no such head.
        UsageError: its backbone has no such layer, or one whose output is no map.
    """

    def __init__(
        self, network: ExpressionNet, *, head: str = "fer2013", layer: str | None = None, batch_size: int = 64
    ) -> None:
        if head not in network.heads:
            raise CardError(f"the network has no head {head!r}; it has: {', '.join(network.heads)}.")
        self._network, self._head, self._batch_size = network, head, batch_size
        maps = layers_of(network)
        if layer is not None and layer not in maps:
            raise UsageError(f"the backbone has no layer {layer!r} with maps; it has: {', '.join(maps)}.")
        fine = [name for name, cells in maps.items() if cells >= _LEAST_CELLS] or list(maps)
        self.layer = layer or fine[-1]
        self.cells = maps[self.layer]

    def maps(
        self,
        crops: NDArray[np.uint8],
        targets: NDArray[np.int64],
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> NDArray[np.float32]:
        """What supports each face's target, float32 (N, S, S): at most 1, and all 0 where nothing does.

        Args:
            crops: gray faces, uint8 (N, S, S).
            targets: (N,) the column of the head that is explained, for each face.
            progress: called with the number of faces after every batch.

        Raises:
            UsageError: crops of another type or shape.
        """
        if crops.dtype != np.uint8 or crops.ndim != 3 or crops.shape[1] != crops.shape[2]:
            raise UsageError(f"crops must be uint8 (N, S, S), not {crops.dtype} {crops.shape}.")
        found = np.empty(crops.shape, np.float32)
        for start in range(0, len(crops), self._batch_size):
            part = slice(start, start + self._batch_size)
            wanted = torch.from_numpy(np.array(targets[part]))
            heat = self._heat(as_input(torch.from_numpy(np.array(crops[part]))), wanted)
            found[part] = _brought_to_1(heat, crops.shape[-1]).numpy()
            progress(len(heat))
        return found

    def _heat(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """The weighed maps of a batch, (N, h, w), never below 0."""
        kept: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:  # noqa: ARG001
            # From here on, and only from here on, gradients are followed.
            kept.append(output.detach().requires_grad_())
            return kept[0]

        handle = self._network.backbone.get_submodule(self.layer).register_forward_hook(keep)
        try:
            with torch.enable_grad(), _frozen(self._network):
                logits = self._network(pixels)[self._head]
                score = logits.gather(1, targets[:, None]).sum()
                (gradient,) = torch.autograd.grad(score, kept[0])
        finally:
            handle.remove()
        weights = gradient.mean((2, 3), keepdim=True)  # (N, channels, 1, 1)
        return (weights * kept[0].detach()).sum(1).relu()


def layers_of(network: ExpressionNet) -> dict[str, int]:
    """The modules of the backbone that can be explained, first to last, and the side of their maps.

    They are the stages of a network, as timm names them, and of an EfficientNet the convolution before the
    mean.

    Raises:
        UsageError: no stage gives maps, as in a transformer.
    """
    backbone = network.backbone
    blocks = getattr(backbone, "blocks", None)
    names = [] if blocks is None else [f"blocks.{name}" for name, _ in blocks.named_children()]
    names += [name for name in ("bn2",) if hasattr(backbone, name)]
    if blocks is None:
        stages: Any = getattr(backbone, "feature_info", [])
        known = {name for name, _ in backbone.named_modules()}
        names = [stage["module"] for stage in stages if stage["module"] in known]
    sides: dict[str, int] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001
            if output.dim() == 4 and output.shape[-1] == output.shape[-2]:
                sides[name] = int(output.shape[-1])

        return hook

    handles = [backbone.get_submodule(name).register_forward_hook(note(name)) for name in names]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 1, network.size, network.size))
    finally:
        for handle in handles:
            handle.remove()
    if not sides:
        raise UsageError(
            f"no layer of {type(backbone).__name__} gives maps, which Grad-CAM weighs. Explain a "
            "convolutional network."
        )
    return sides


def _brought_to_1(heat: Tensor, size: int) -> Tensor:
    """Maps (N, h, w) enlarged to faces (N, size, size), the hottest pixel of each 1."""
    large = functional.interpolate(heat[:, None], size=(size, size), mode="bilinear", align_corners=False)
    large = large[:, 0].clamp_min(0)
    most = large.amax((1, 2), keepdim=True)
    return torch.where(most > 0, large / most.clamp_min(torch.finfo(large.dtype).tiny), 0.0)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Inside, no parameter is followed: only the maps are."""
    before = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, followed in zip(network.parameters(), before, strict=True):
            parameter.requires_grad_(followed)
