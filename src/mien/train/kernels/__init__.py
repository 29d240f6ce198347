"""bfloat16 on a CPU: the layers that PyTorch computes slowly there, in C.

PyTorch multiplies matrices in bfloat16 quickly where a CPU can, but falls back to a plain loop for the
gradient of most depthwise convolutions, and takes batch normalisation and ReLU6 in separate passes over the
memory. With these layers from `bfloat16.c`, EfficientNet-Lite trains about three times as fast as in float32;
`benchmarks/training.py` measures it. The file is compiled in a second, when a training first asks for it.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MethodType
from typing import Any, cast

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional

_SOURCE = Path(__file__).with_name("bfloat16.c")
_COMPILERS = ("cc", "gcc", "clang")


def why_not() -> str:
    """Why this machine cannot use the layers; empty where it can."""
    if not torch.cpu._is_avx512_bf16_supported():
        return "this CPU has no bfloat16 instructions (AVX512_BF16)"
    loaded = _load()
    return loaded if isinstance(loaded, str) else ""


def install(network: nn.Module) -> None:
    """Let the network's depthwise convolutions and normalisations learn by these layers.

    They do so under bfloat16 autocast on a CPU; in every other case, and when the network only answers, the
    layers work as before. Names and tensors stay what they were. Where `why_not` is empty.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_depthwise(module):
            module._conv_forward = MethodType(_convolve, module)  # type: ignore[method-assign]
        elif isinstance(module, BatchNormAct2d):
            module.forward = MethodType(_normalise, module)  # type: ignore[method-assign]


@cache
def _load() -> ctypes.CDLL | str:
    """The compiled layers, or why there are none."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return f"no C compiler is found ({', '.join(_COMPILERS)})"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bfloat16.so"
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(out), str(_SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{compiler} could not compile {_SOURCE.name}: {done.stderr.strip()[:500]}"
        return ctypes.CDLL(str(out))


def _c() -> ctypes.CDLL:
    loaded = _load()
    if isinstance(loaded, str):
        raise RuntimeError(loaded)
    return loaded


class _Shape(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_long)
        for name in (
            "faces", "channels", "height", "width", "out_height", "out_width", "kernel", "stride", "padding"
        )
    )  # fmt: skip


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.bias is None
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))
        and not isinstance(conv.padding, str)
    )


def _learns_in_bfloat16(module: nn.Module, x: Tensor) -> bool:
    return (
        module.training
        and torch.is_grad_enabled()
        and x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def _convolve(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not _learns_in_bfloat16(self, x):
        return cast(Tensor, nn.Conv2d._conv_forward(self, x, weight, bias))
    out = _Depthwise.apply(x, weight, self.stride[0], self.padding[0])  # type: ignore[no-untyped-call]
    return cast(Tensor, out)


def _normalise(self: Any, x: Tensor) -> Tensor:
    if not _learns_in_bfloat16(self, x) or self.momentum is None or not self.affine:
        return cast(Tensor, type(self).forward(self, x))
    # Anything between the two keeps the activation out of the fused pass.
    fused = isinstance(self.act, nn.ReLU6) and isinstance(self.drop, nn.Identity)
    y, mean, variance = _NormRelu6.apply(  # type: ignore[no-untyped-call]
        x, self.weight, self.bias, self.eps, fused
    )
    with torch.no_grad():
        n = x.numel() // x.shape[1]
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (n / max(n - 1, 1)), self.momentum)
    return cast(Tensor, y if fused else self.act(self.drop(y)))


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution in bfloat16, (N, C, H, W) channels last, with zeros around it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        x, narrow = _channels_last(x), weight.to(torch.bfloat16)
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        with torch.autocast("cpu", enabled=False):
            return functional.conv2d(x, narrow, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        gradient = _channels_last(gradient)
        to_input = torch.empty_like(x)
        factors = weight.to(torch.bfloat16).float().contiguous()
        parts = _parts(len(x))
        to_weight = torch.empty(len(parts), *weight.shape)

        def work(number: int) -> None:
            part = parts[number]
            shape = _Shape(
                part.stop - part.start, *x.shape[1:], *gradient.shape[2:],
                weight.shape[2], ctx.stride, ctx.padding,
            )  # fmt: skip
            arrays = gradient[part], x[part], factors, to_input[part], to_weight[number]
            if _c().depthwise_gradient(ctypes.byref(shape), *map(_at, arrays)):
                raise MemoryError(f"no memory for the gradient of a convolution of {tuple(x.shape)}")

        _run(work, len(parts))
        return to_input, to_weight.sum(0), None, None


class _NormRelu6(torch.autograd.Function):
    """Batch normalisation by the batch's own statistics, then ReLU6 if asked: output, mean, variance."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, relu6: bool) -> Any:
        x = _channels_last(x)
        channels, pixels = x.shape[1], x[0, 0].numel()
        parts = _parts(len(x))
        sums = torch.zeros(2, len(parts), channels, dtype=torch.float64)
        y = torch.empty_like(x)

        def measure(number: int) -> None:
            rows = len(x[parts[number]]) * pixels
            _c().norm_moments(*_longs(rows, channels), *map(_at, (x[parts[number]], *sums[:, number])))

        _run(measure, len(parts))
        mean, square = sums.sum(1) / (len(x) * pixels)
        variance = (square - mean**2).clamp_(min=0)
        scale = weight.double() / (variance + eps).sqrt()
        shift = (bias.double() - mean * scale).float()
        narrow = scale.float()

        def apply(number: int) -> None:
            rows = len(x[parts[number]]) * pixels
            arrays = x[parts[number]], narrow, shift, y[parts[number]]
            _c().norm_apply(*_longs(rows, channels), int(relu6), *map(_at, arrays))

        _run(apply, len(parts))
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(x, narrow, shift, scale, mean, inverse)
        ctx.relu6 = relu6
        statistics = mean.float(), variance.float()
        ctx.mark_non_differentiable(*statistics)
        return y, *statistics

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Any:
        x, narrow, shift, scale, mean, inverse = ctx.saved_tensors
        gradient = _channels_last(gradient)
        channels, pixels = x.shape[1], x[0, 0].numel()
        parts = _parts(len(x))
        sums = torch.zeros(2, len(parts), channels, dtype=torch.float64)
        to_input = torch.empty_like(x)

        def measure(number: int) -> None:
            part = parts[number]
            arrays = gradient[part], x[part], narrow, shift, *sums[:, number]
            _c().norm_gradient_sums(
                *_longs(len(x[part]) * pixels, channels), int(ctx.relu6), *map(_at, arrays)
            )

        _run(measure, len(parts))
        total, product = sums.sum(1)
        to_weight = (product - total * mean) * inverse
        # Ioffe & Szegedy 2015, section 3, as a line in the gradient and the input.
        n = len(x) * pixels
        of_input = -scale * inverse * to_weight / n
        factors = [scale, of_input, -scale * total / n - of_input * mean]
        of_gradient, of_input, rest = (factor.float() for factor in factors)

        def apply(number: int) -> None:
            part = parts[number]
            arrays = (
                gradient[part], x[part], narrow, shift, of_gradient, of_input, rest, to_input[part]
            )  # fmt: skip
            _c().norm_gradient_apply(
                *_longs(len(x[part]) * pixels, channels), int(ctx.relu6), *map(_at, arrays)
            )

        _run(apply, len(parts))
        return to_input, to_weight.float(), total.float(), None, None


def _channels_last(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def _at(array: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data_ptr())


def _longs(*numbers: int) -> tuple[ctypes.c_long, ...]:
    return tuple(map(ctypes.c_long, numbers))


def _parts(faces: int) -> list[slice]:
    """The faces in as many runs as torch has threads."""
    count = max(1, min(torch.get_num_threads(), faces))
    bounds = [faces * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "mien-kernels")


def _run(work: Callable[[int], None], parts: int) -> None:
    """The work of each part, each on a thread of its own: C lets go of Python's lock."""
    if parts == 1:
        work(0)
    else:
        list(_pool(parts).map(work, range(parts)))
