"""The network: gray faces in, enlarged, through a timm backbone, out as one or two heads of logits."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models import efficientnet
from torch import Tensor, nn
from torch.nn import functional

from mien.emotions import ABSTAIN, FER2013, VOTES, binary_task
from mien.errors import RecipeError
from mien.models.card import OWN_HEAD
from mien.runs.recipe_sections import NetworkRecipe
from mien.training.network.pretrained import load_initial

# What builds a family at any width and depth; timm's named models are calls of these.
_SCALED: Mapping[str, Callable[..., Any]] = {
    "tf_efficientnet_b0": efficientnet._gen_efficientnet,
    "tf_efficientnet_lite0": efficientnet._gen_efficientnet_lite,
}

HEAD_LABELS: Mapping[str, tuple[str, ...]] = {"fer2013": FER2013, "votes": VOTES}
HEAD_ABSTAIN: Mapping[str, tuple[str, ...]] = {"fer2013": (), "votes": ABSTAIN}


def head_labels(head: str, own: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of a head's columns. A head that is neither labels nor votes has the name of a binary task.

    `own` are the classes of the head ``"own"``, from the recipe's `data.classes`.

    Raises:
        UsageError: there is no head of that name.
    """
    if head == OWN_HEAD:
        return own
    return HEAD_LABELS[head] if head in HEAD_LABELS else binary_task(head).classes


class StaticSameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding for one size of input, worked out beforehand.

    The padding is asymmetric where stride and size ask for it: more at the right and bottom.

    Source: `Conv2dStaticSamePadding` of EfficientNet-PyTorch, which the report uses.
    """

    def set_size(self, height: int, width: int) -> None:
        """Work out the padding for inputs of this height and width."""
        pads = []
        for size, kernel, stride, dilation in zip(
            (width, height), self.kernel_size[::-1], self.stride[::-1], self.dilation[::-1], strict=True
        ):
            needed = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            pads += [needed // 2, needed - needed // 2]
        self.same_padding = pads

    def forward(self, x: Tensor) -> Tensor:
        if any(self.same_padding):
            x = functional.pad(x, self.same_padding)
        return cast(Tensor, self._conv_forward(x, self.weight, self.bias))


class ExpressionNet(nn.Module):
    """Gray faces to logits of each head.

    Args:
        backbone: a timm model without classifier, one input channel.
        heads: name to number of classes.
        size: the side to which faces are enlarged before the stem.
        mean, std: of pixels in 0..1.
        padding_size: the side for which SAME paddings are worked out; 0 is `size`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        heads: Mapping[str, int],
        *,
        size: int,
        drop_rate: float,
        mean: float,
        std: float,
        padding_size: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(drop_rate)
        self.mean, self.std = mean, std
        self.padding_size = padding_size
        features = self.set_size(size)
        self.heads = nn.ModuleDict({name: nn.Linear(features, classes) for name, classes in heads.items()})

    def set_size(self, size: int) -> int:
        """Enlarge faces to this side from now on, and work out the paddings that go with it.

        Returns how many numbers the backbone gives for a face.

        Raises:
            RecipeError: the backbone cannot take the side.
        """
        self.size = size
        padded = self.padding_size or size
        handles = [
            module.register_forward_pre_hook(lambda m, args: m.set_size(*args[0].shape[-2:]))
            for module in self.backbone.modules()
            if isinstance(module, StaticSameConv2d)
        ]
        try:
            return _features_of(self.backbone, padded)
        finally:
            for handle in handles:
                handle.remove()

    def enlarge(self, x: Tensor) -> Tensor:
        """Standardised faces at the network's own size: (N, 1, 48, 48) in 0..1 to (N, 1, size, size)."""
        x = (x - self.mean) / self.std
        if x.shape[-1] != self.size:
            x = functional.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return x

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Pixels in 0..1, (N, 1, H, W), to logits (N, classes) by head."""
        features = self.dropout(self.backbone(self.enlarge(x)))  # (N, features)
        return {name: head(features) for name, head in self.heads.items()}


def _features_of(backbone: nn.Module, size: int) -> int:
    """How many numbers a backbone gives for a face of this side.

    Raises:
        RecipeError: it cannot take the side.
    """
    weight = next(backbone.parameters())
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            out = backbone(torch.zeros(1, 1, size, size, device=weight.device, dtype=weight.dtype))
    except (RuntimeError, AssertionError, ValueError) as error:
        own = getattr(backbone, "pretrained_cfg", {}).get("input_size", (0, 0, 0))[-1]
        raise RecipeError(
            f"the backbone cannot take faces of {size} x {size} pixels ({error}). It was made for "
            f"{own} x {own}: set network.size={own}, and no other side in schedule.sizes; or choose another "
            "network.backbone."
        ) from error
    finally:
        backbone.train(training)
    return int(out.shape[-1])


def compiled(network: ExpressionNet) -> Callable[[Tensor], dict[str, Tensor]]:
    """What `network` computes, compiled for each size and mode at its first call."""
    return cast("Callable[[Tensor], dict[str, Tensor]]", torch.compile(network, dynamic=False))


def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU computes in bfloat16. Older ones only imitate it, more slowly than float32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def as_input(pixels: Tensor) -> Tensor:
    """Gray faces, uint8 (N, S, S), as the network takes them, float (N, 1, S, S) in 0..1."""
    return pixels[:, None].float().div(255).to(memory_format=torch.channels_last)


def build_network(
    spec: NetworkRecipe,
    heads: tuple[str, ...],
    *,
    seed: int,
    pretrained: bool = True,
    own: tuple[str, ...] = (),
) -> ExpressionNet:
    """A network as a recipe describes it, its new layers initialised from the seed.

    With `pretrained` false no weights are fetched: for a checkpoint that will fill them in. `own` are the
    classes of the head ``"own"``.

    Raises:
        RecipeError: timm has no such backbone.
        ModelError: the initial weights cannot be had or do not fit.
    """
    if not timm.is_model(spec.backbone):
        near = difflib.get_close_matches(spec.backbone, timm.list_models("*net*"), n=4, cutoff=0.5)
        raise RecipeError(
            f"network.backbone {spec.backbone!r} is no timm model. Near: {', '.join(near) or 'none'}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = _build_backbone(spec)
        network = ExpressionNet(
            backbone,
            {name: len(head_labels(name, own)) for name in heads},
            size=spec.size,
            drop_rate=spec.drop_rate,
            mean=spec.mean,
            std=spec.std,
            padding_size=spec.padding_size,
        )
        if spec.stem_init == "random":
            # As torch begins any new Conv2d, which is what the report's stem is.
            _stem_of(backbone, spec).reset_parameters()
    if pretrained and spec.init != "random":
        load_initial(network, spec)
    return network


def _build_backbone(spec: NetworkRecipe) -> nn.Module:
    """The timm model without classifier, for gray images, its paddings static."""
    backbone: Any = _create(spec)
    if spec.stem_stride == 1:
        _stem_of(backbone, spec).stride = (1, 1)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = spec.batch_norm_momentum
    _make_padding_static(backbone)
    return cast(nn.Module, backbone)


def _stem_of(backbone: nn.Module, spec: NetworkRecipe) -> nn.Conv2d:
    """The first convolution, which timm names in the facts of each model.

    Raises:
        RecipeError: the network does not begin with one convolution.
    """
    facts: Any = getattr(backbone, "pretrained_cfg", {})
    name = facts.get("first_conv")
    stem = backbone.get_submodule(name) if isinstance(name, str) else None
    if not isinstance(stem, nn.Conv2d):
        raise RecipeError(
            f"network.backbone {spec.backbone!r} does not begin with one convolution, so network.stem_stride "
            "and network.stem_init cannot be changed. Leave them at 2 and 'sum', or take a backbone such as "
            "tf_efficientnet_lite0 or resnet18."
        )
    return stem


def _create(spec: NetworkRecipe) -> Any:
    """timm's model, scaled in width and depth as the recipe sets it.

    Raises:
        RecipeError: a backbone that cannot be scaled.
    """
    options: dict[str, Any] = {"num_classes": 0, "in_chans": 1, "drop_path_rate": spec.drop_path}
    if spec.width == spec.depth == 1:
        return _create_named(spec, options)
    if spec.backbone not in _SCALED:
        raise RecipeError(
            f"network.width and network.depth scale {' and '.join(_SCALED)}, not {spec.backbone!r}. "
            "Choose one of them, or set both to 1."
        )
    # Paddings and epsilon as timm gives TensorFlow's models.
    return _SCALED[spec.backbone](
        spec.backbone,
        channel_multiplier=spec.width,
        depth_multiplier=spec.depth,
        pretrained=False,
        pad_type="same",
        bn_eps=1e-3,
        **options,
    )


def _create_named(spec: NetworkRecipe, options: dict[str, Any]) -> Any:
    """timm's model of that name; one of a fixed input, as most transformers, is made for the recipe's size.

    Raises:
        RecipeError: it has no drop path, or cannot be made for that size.
    """
    facts = timm.get_pretrained_cfg(spec.backbone)
    if facts is not None and facts.fixed_input_size:
        options = {**options, "img_size": spec.size}
    try:
        return timm.create_model(spec.backbone, **options)
    except (TypeError, AssertionError, RuntimeError, ValueError) as error:
        kept = {name: value for name, value in options.items() if name in ("num_classes", "in_chans")}
        if spec.drop_path:
            raise RecipeError(
                f"network.backbone {spec.backbone!r} cannot be made with drop_path={spec.drop_path} at "
                f"{spec.size} px ({error}). Set network.drop_path=0, or another network.size."
            ) from error
        # The few that take no such options: whether the size fits is seen at the first pass.
        return timm.create_model(spec.backbone, **kept)


def _make_padding_static(module: nn.Module) -> None:
    """Swap timm's dynamic SAME convolutions for static ones, weights shared."""
    for name, child in module.named_children():
        if isinstance(child, Conv2dSame):
            static = StaticSameConv2d(
                child.in_channels,
                child.out_channels,
                child.kernel_size,  # type: ignore[arg-type]
                child.stride,  # type: ignore[arg-type]
                0,
                child.dilation,  # type: ignore[arg-type]
                child.groups,
                child.bias is not None,
            )
            static.weight, static.bias = child.weight, child.bias
            setattr(module, name, static)
        else:
            _make_padding_static(child)
