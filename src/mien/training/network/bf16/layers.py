"""bfloat16 on a CPU: the layers that PyTorch computes slowly there, in C.

PyTorch multiplies matrices in bfloat16 quickly where a CPU can, but falls back to a plain loop for the
gradient of most depthwise convolutions, and takes batch normalisation and ReLU6 in separate passes over the
memory. With these layers from `kernels.c`, EfficientNet-Lite trains about three times as fast as in float32;
`benchmarks/train.py` measures it. The file is compiled when it is first needed, which takes a second.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MethodType
from typing import Any, TypeVar, cast

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional

T = TypeVar("T")

_SOURCE = Path(__file__).with_name("kernels.c")
_COMPILERS = ("cc", "gcc", "clang")


def why_not() -> str:
    """Why this machine cannot use the layers; empty where it can."""
    if not torch.cpu._is_avx512_bf16_supported():
        return "this CPU has no bfloat16 instructions (AVX512_BF16)"
    loaded = _load()
    return loaded if isinstance(loaded, str) else ""


def install(network: nn.Module) -> None:
    """Let the network's depthwise convolutions and normalisations learn by these layers.

    They do so under bfloat16 autocast on a CPU; in every other case, and in evaluation mode, the
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
        n = _rows(x)
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

        def of_weight(part: slice) -> Tensor:
            shape = _Shape(
                len(x[part]), *x.shape[1:], *gradient.shape[2:], weight.shape[2], ctx.stride, ctx.padding
            )
            to_weight = torch.empty(weight.shape)
            arrays = gradient[part], x[part], factors, to_input[part], to_weight
            if _c().depthwise_gradient(ctypes.byref(shape), *map(_at, arrays)):
                raise MemoryError(f"no memory for the gradient of a convolution of {tuple(x.shape)}")
            return to_weight

        return to_input, torch.stack(_each_part(len(x), of_weight)).sum(0), None, None


class _NormRelu6(torch.autograd.Function):
    """Batch normalisation by the batch's own statistics, then ReLU6 if `relu6`: output, mean, variance."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, relu6: bool) -> Any:
        x = _channels_last(x)
        y = torch.empty_like(x)
        mean, square = _sums(_c().norm_moments, (), (x,)) / _rows(x)
        variance = (square - mean**2).clamp_(min=0)
        inverse = (variance + eps).rsqrt()
        scale = weight.double() * inverse
        line = scale.float(), (bias.double() - mean * scale).float()
        _over_rows(_c().norm_apply, (relu6,), (x,), line, (y,))
        ctx.save_for_backward(x, *line, scale, mean, inverse)
        ctx.relu6 = relu6
        statistics = mean.float(), variance.float()
        ctx.mark_non_differentiable(*statistics)
        return y, *statistics

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Any:
        x, *line, scale, mean, inverse = ctx.saved_tensors
        faces = _channels_last(gradient), x
        to_input = torch.empty_like(x)
        total, product = _sums(_c().norm_gradient_sums, (ctx.relu6,), faces, line)
        to_weight = (product - total * mean) * inverse
        # Ioffe & Szegedy 2015, section 3, as a line in the gradient and the input.
        of_input = -scale * inverse * to_weight / _rows(x)
        rest = -scale * total / _rows(x) - of_input * mean
        factors = [factor.float() for factor in (scale, of_input, rest)]
        _over_rows(_c().norm_gradient_apply, (ctx.relu6,), faces, [*line, *factors], (to_input,))
        return to_input, to_weight.float(), total.float(), None, None


def _over_rows(
    function: Any,
    flags: tuple[bool, ...],
    faces: Sequence[Tensor],
    channels: Sequence[Tensor],
    outputs: Sequence[Tensor],
) -> None:
    """Let a function of rows fill the outputs from faces, both (N, C, H, W), and numbers a channel, (C,)."""

    def work(part: slice) -> None:
        arrays = *(each[part] for each in faces), *channels, *(each[part] for each in outputs)
        _call(function, flags, arrays)

    _each_part(len(faces[0]), work)


def _sums(
    function: Any, flags: tuple[bool, ...], faces: Sequence[Tensor], channels: Sequence[Tensor] = ()
) -> Tensor:
    """Two sums over the rows of faces (N, C, H, W), by a function that adds to them: float64 (2, C)."""

    def work(part: slice) -> Tensor:
        sums = torch.zeros(2, faces[0].shape[1], dtype=torch.float64)
        _call(function, flags, (*(each[part] for each in faces), *channels, *sums))
        return sums

    return torch.stack(_each_part(len(faces[0]), work)).sum(0)


def _call(function: Any, flags: tuple[bool, ...], arrays: Sequence[Tensor]) -> None:
    """Call a function of rows; the first array has their number and that of the channels."""
    sizes = ctypes.c_long(_rows(arrays[0])), ctypes.c_long(arrays[0].shape[1])
    function(*sizes, *map(int, flags), *map(_at, arrays))


def _rows(x: Tensor) -> int:
    """Values that a channel has in (N, C, H, W)."""
    return x.numel() // x.shape[1]


def _channels_last(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def _at(array: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data_ptr())


def _each_part(faces: int, work: Callable[[slice], T]) -> list[T]:
    """What the work gives for each part of the faces: as many parts as torch has threads.

    Each is on a thread of its own: C lets go of Python's lock.
    """
    count = max(1, min(torch.get_num_threads(), faces))
    bounds = [faces * number // count for number in range(count + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(bounds)]
    return [work(parts[0])] if count == 1 else list(_pool(count).map(work, parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "mien-kernels")
