"""An exported model at work: gray face crops in, calibrated probabilities out. No PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import CardError, ModelError, UsageError
from mien.models.card import Card, Head
from mien.models.registry import DEFAULT, find_model

_INPUT = "pixels"
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


class OnnxClassifier:
    """One head of an exported model, run by ONNX Runtime.

    Args:
        model: a shipped name, or the path of an ONNX file with its card beside it.
        head: which of the model's answers; its default head for None.
        threads: threads of one run; ONNX Runtime's choice (the physical cores) for None.
        device: ``"auto"`` (CUDA where it can be had, else the CPU), ``"cpu"``, ``"cuda"`` or ``"coreml"``.
        batch_size: the most crops that one run is given.

    Raises:
        UnknownModel: neither a shipped name nor a file.
        CardError: the card is missing, of other weights, or promises what the ONNX file does not hold.
        ModelError: ONNX Runtime cannot read the file.
        UsageError: a device that does not exist or cannot be had here, or a number below 1.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        *,
        head: str | None = None,
        threads: int | None = None,
        device: str = "auto",
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be 1 or more, not {batch_size}.")
        found = find_model(model, verify=True)
        self.card: Card = found.card
        self.head: Head = found.card.head(head)
        self.batch_size = batch_size
        self._session = _open_session(found.onnx, device, threads)
        _check_contract(self._session, self.card, self.head, found.onnx)

    @property
    def name(self) -> str:
        """The model's name, from its card."""
        return self.card.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `predict`, in order."""
        return self.head.labels

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of all the model's heads."""
        return tuple(head.name for head in self.card.heads)

    @property
    def temperature(self) -> float:
        """The temperature that `predict` holds."""
        return self.head.temperature

    @property
    def device(self) -> str:
        """Where it runs: ``"cpu"``, ``"cuda"`` or ``"coreml"``."""
        used = self._session.get_providers()[0]
        return next((device for device, provider in _PROVIDERS.items() if provider == used), used)

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities, float32 (N, C), rows sum to 1: the softmax of the logits over the temperature.

        `crops` are gray faces, uint8 (N, S, S), with S the card's `input_size`. No crops give no rows.

        Raises:
            UsageError: crops of another type or shape.
            ModelError: the network answered with something that is not a number.
        """
        scaled = self.logits(crops) / np.float32(self.head.temperature)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))  # the largest becomes 1: no overflow
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network says before temperature and softmax, float32 (N, C). Raises as `predict` does."""
        self._check_crops(crops)
        out = np.empty((len(crops), len(self.labels)), dtype=np.float32)
        for start in range(0, len(crops), self.batch_size):
            batch = np.ascontiguousarray(crops[start : start + self.batch_size])
            (out[start : start + len(batch)],) = self._session.run([self.head.name], {_INPUT: batch})
        if not np.isfinite(out).all():
            raise ModelError(f"model {self.name!r} answered with NaN or infinity. Export it again.")
        return out

    def _check_crops(self, crops: NDArray[np.uint8]) -> None:
        size = self.card.input_size
        if not isinstance(crops, np.ndarray):
            raise UsageError(
                f"crops must be a NumPy array, uint8 (N, {size}, {size}), not {type(crops).__name__}."
            )
        if crops.dtype != np.uint8 or crops.ndim != 3 or crops.shape[1:] != (size, size):
            raise UsageError(
                f"crops must be uint8 (N, {size}, {size}), not {crops.dtype} {crops.shape}. "
                "`Analyzer.analyze_crops` takes faces of any size and colour."
            )


def _open_session(path: Path, device: str, threads: int | None) -> Any:
    from mien.models.runtime import onnxruntime, open_session

    if threads is not None and threads < 1:
        raise UsageError(f"threads must be 1 or more, not {threads}.")
    providers = _providers(device, onnxruntime.get_available_providers())
    try:
        session = open_session(path, threads=threads, providers=providers)
    except Exception as error:  # its exceptions share no public base but Exception
        raise ModelError(f"ONNX Runtime cannot open {path}: {error}") from error
    if device != "auto" and session.get_providers()[0] != _PROVIDERS[device]:
        raise UsageError(
            f"device {device!r} was asked for, but ONNX Runtime could only use {session.get_providers()[0]}; "
            "its drivers or libraries are missing. Use device 'cpu', or see `mien doctor`."
        )
    return session


def _providers(device: str, available: list[str]) -> list[str]:
    """ONNX Runtime's names for a device, the one to try first in front; the CPU is always behind it."""
    cpu = _PROVIDERS["cpu"]
    if device == "auto":
        # Core ML is left out: it compiles one program a batch size, which small nets never earn back.
        return [name for name in (_PROVIDERS["cuda"], cpu) if name in available]
    if device not in _PROVIDERS:
        raise UsageError(f"device {device!r} is unknown. Known: auto, {', '.join(_PROVIDERS)}.")
    if _PROVIDERS[device] not in available:
        package = "onnxruntime-gpu" if device == "cuda" else "onnxruntime on macOS"
        raise UsageError(
            f"device {device!r} is not in this build of ONNX Runtime (it has {', '.join(available)}). "
            f"It comes with {package}; device 'cpu' works everywhere."
        )
    return [cpu] if device == "cpu" else [_PROVIDERS[device], cpu]


def _check_contract(session: Any, card: Card, head: Head, path: Path) -> None:
    """Hold the ONNX file against what its card says of it: a wrong pair fails here, not in a batch."""
    inputs = {node.name: (node.type, node.shape[1:]) for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    size = card.input_size
    if inputs != {_INPUT: ("tensor(uint8)", [size, size])}:
        raise CardError(f"{path} must take pixels uint8 (N, {size}, {size}) as its card says, not {inputs}.")
    if head.name not in outputs:
        raise CardError(f"{path} has no output {head.name!r} as its card says; it has: {', '.join(outputs)}.")
    if (shape := outputs[head.name]) and shape[-1] != len(head.labels):
        raise CardError(f"{path}: output {head.name!r} is {shape}; its card names {len(head.labels)} labels.")
