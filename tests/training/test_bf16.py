"""The layers in C against PyTorch's own in float32, given the same bfloat16 numbers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional

from mien.training.network.bf16 import layers as kernels
from mien.training.network.model import StaticSameConv2d

needs_bfloat16 = pytest.mark.skipif(bool(kernels.why_not()), reason=kernels.why_not() or "it can")
# Results are rounded to bfloat16's eight bits.
ROUNDING = 2**-8


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def bfloat16(*shape: int, seed: int) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return values.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def assert_near(got: Tensor | None, wanted: Tensor | None, tolerance: float) -> None:
    assert got is not None
    assert wanted is not None
    torch.testing.assert_close(got.float(), wanted, rtol=0, atol=tolerance * wanted.abs().max().item())


@needs_bfloat16
@pytest.mark.parametrize(
    ("channels", "side", "kernel", "stride", "padding"),
    [
        (48, 12, 5, 1, 2),
        (72, 13, 3, 2, 0),
        (16, 9, 5, 2, 0),
        (8, 6, 3, 1, 1),
        (100, 2, 5, 1, 2),
        (33, 7, 3, 2, 1),
    ],
)
def test_gradients_of_a_depthwise_convolution_are_those_of_pytorch(
    channels: int, side: int, kernel: int, stride: int, padding: int, threads: int
) -> None:
    x, weight = bfloat16(5, channels, side, side, seed=1), torch.randn(channels, 1, kernel, kernel)
    weight = weight.to(torch.bfloat16).float()  # as the network rounds it for itself
    conv = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)
    conv.weight.data.copy_(weight)
    kernels.install(conv)
    inputs = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(inputs)
    ours = bfloat16(*out.shape, seed=2)
    out.backward(ours)

    oracle_x, oracle_w = x.float().requires_grad_(), weight.clone().requires_grad_()
    wanted = functional.conv2d(oracle_x, oracle_w, None, stride, padding, 1, channels)
    wanted.backward(ours.float())
    assert out.dtype == torch.bfloat16
    assert_near(out, wanted, ROUNDING)
    assert_near(inputs.grad, oracle_x.grad, ROUNDING)
    assert_near(conv.weight.grad, oracle_w.grad, 1e-5)


@needs_bfloat16
@pytest.mark.parametrize("act", [nn.ReLU6, nn.Identity, nn.SiLU])
@pytest.mark.parametrize("channels", [16, 40, 1152])
def test_normalisation_is_that_of_pytorch(act: type[nn.Module], channels: int, threads: int) -> None:
    x = (2 * bfloat16(6, channels, 5, 5, seed=3) + bfloat16(1, channels, 1, 1, seed=4)).contiguous(
        memory_format=torch.channels_last
    )
    ours, oracle = (BatchNormAct2d(channels, eps=1e-3, act_layer=act) for _ in range(2))
    for layer in (ours, oracle):
        layer.weight.data.copy_(torch.linspace(0.5, 4, channels))
        layer.bias.data.copy_(torch.linspace(-1, 2, channels))
    kernels.install(ours)
    first, second = x.clone().requires_grad_(), x.float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        got = ours(first)
    wanted = oracle(second)
    gradient = bfloat16(*x.shape, seed=5)
    got.backward(gradient)
    wanted.backward(gradient.float())

    # Where the activation comes after, its input has been rounded once before.
    tolerance = ROUNDING if act is not nn.SiLU else 3 * ROUNDING
    assert got.dtype == torch.bfloat16
    assert_near(got, wanted, tolerance)
    assert_near(first.grad, second.grad, tolerance)
    exact = 1e-5 if act is not nn.SiLU else ROUNDING
    assert_near(ours.weight.grad, oracle.weight.grad, exact)
    assert_near(ours.bias.grad, oracle.bias.grad, exact)
    assert_near(ours.running_mean, oracle.running_mean, 1e-5)
    assert_near(ours.running_var, oracle.running_var, 1e-5)
    assert ours.num_batches_tracked == oracle.num_batches_tracked == 1


@needs_bfloat16
def test_without_autocast_and_when_answering_the_layers_are_as_before() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, bias=False), BatchNormAct2d(8, act_layer=nn.ReLU6))
    x = torch.randn(2, 8, 6, 6)
    network.eval()
    before = network(x)
    kernels.install(network)
    assert torch.equal(network(x), before)
    network.train()
    assert network(x).dtype == torch.float32


@needs_bfloat16
def test_other_convolutions_are_left_alone() -> None:
    grouped = nn.Conv2d(8, 8, 3, groups=4, bias=False)
    biased = nn.Conv2d(8, 8, 3, groups=8)
    pointwise = nn.Conv2d(8, 16, 1, bias=False)
    uneven = nn.Conv2d(8, 8, (3, 5), groups=8, bias=False)
    for conv in (grouped, biased, pointwise, uneven):
        kernels.install(conv)
        assert "_conv_forward" not in vars(conv)


@needs_bfloat16
def test_a_same_padded_convolution_pads_before() -> None:
    conv = StaticSameConv2d(16, 16, 3, 2, 0, 1, 16, False)
    conv.set_size(8, 8)
    plain = conv(torch.ones(1, 16, 8, 8))
    kernels.install(conv)
    with torch.autocast("cpu", torch.bfloat16):
        assert_near(conv(torch.ones(1, 16, 8, 8)), plain.detach(), ROUNDING)


@pytest.fixture
def forgetful() -> object:
    """The compiler is asked anew, before and after."""
    kernels._load.cache_clear()
    yield
    kernels._load.cache_clear()


def test_without_a_compiler_the_reason_names_those_looked_for(
    forgetful: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None)
    assert kernels.why_not() == "no C compiler is found (cc, gcc, clang)"


def test_what_the_compiler_says_is_passed_on(forgetful: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(kernels.shutil, "which", lambda name: f"/usr/bin/{name}")
    failed = subprocess.CompletedProcess([], 1, "", "error: unknown target\n")
    monkeypatch.setattr(kernels.subprocess, "run", lambda *args, **kwargs: failed)
    assert kernels.why_not() == "/usr/bin/cc could not compile kernels.c: error: unknown target"


def test_an_older_cpu_is_told_apart_before_anything_is_compiled(
    forgetful: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(kernels.shutil, "which", lambda name: pytest.fail("looked for a compiler"))
    assert "AVX512_BF16" in kernels.why_not()


def test_the_source_is_part_of_the_package() -> None:
    assert (Path(kernels.__file__).parent / "kernels.c").is_file()
