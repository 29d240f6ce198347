"""Exported models in ONNX Runtime: gray face crops in, calibrated probabilities of every head out."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import CardError, ModelError, UsageError
from mien.models.card import Card, Head
from mien.models.classifier import HeadClassifier
from mien.models.registry import DEFAULT, find_model
from mien.probabilities import softmax, tempered

_INPUT = "pixels"
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


class OnnxModel:
    """An exported model with all its heads in one session of ONNX Runtime.

    Args:
        model: a shipped name, or the path of an ONNX file with its card beside it.
        threads: threads of one run; ONNX Runtime's choice (the physical cores) for None.
        device: ``"auto"`` (CUDA where it can be had, else the CPU), ``"cpu"``, ``"cuda"`` or ``"coreml"``.
        batch_size: the most crops in one run.

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
        threads: int | None = None,
        device: str = "auto",
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be 1 or more, not {batch_size}.")
        file = find_model(model, verify=True)
        self.card: Card = file.card
        self.path = file.onnx
        self.batch_size = batch_size
        self.heads = {head.name: head.labels for head in file.card.heads}
        self.temperatures = {head.name: head.temperature for head in file.card.heads}
        self._session = _open_session(file.onnx, device, threads)
        _check_contract(self._session, self.card, file.onnx)

    def __repr__(self) -> str:
        heads = ", ".join(f"{name} ({len(labels)} labels)" for name, labels in self.heads.items())
        return f"<OnnxModel {self.name}: {heads}; {self.card.input_size} px faces, on {self.device}>"

    @property
    def name(self) -> str:
        """The model's name, from its card."""
        return self.card.name

    @property
    def device(self) -> str:
        """Where it runs: ``"cpu"``, ``"cuda"`` or ``"coreml"``."""
        used = self._session.get_providers()[0]
        return next((device for device, provider in _PROVIDERS.items() if provider == used), used)

    def recalibrated(self, temperatures: Mapping[str, float]) -> OnnxModel:
        """The same model, in the same session, with other temperatures; heads that are not named have 1."""
        other = copy(self)
        other.temperatures = {name: temperatures.get(name, 1.0) for name in self.heads}
        return other

    def predict(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """By name of the head, probabilities, float32 (N, C), rows sum to 1.

        They are the softmax of the logits over the head's temperature. `crops` are gray faces, uint8
        (N, S, S), with S the card's `input_size`. No crops give no rows.

        Raises:
            UsageError: crops of another type or shape.
            ModelError: the network gave something that is not a number.
        """
        outputs = self._outputs(crops)
        return {head.name: self._probabilities(head, outputs) for head in self.card.heads}

    def rows(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """By name of the head, one row per face of what `mien.inference.face.read_face` takes.

        The probabilities, float32 (N, C); of a head that is computed from two others, theirs side by side,
        (N, C + K). Raises as `predict` does.
        """
        outputs = self._outputs(crops)
        return {
            head.name: outputs[head.name]
            if (both := head.combination) is None
            else np.concatenate([outputs[both.first], outputs[both.second]], axis=1)
            for head in self.card.heads
        }

    def logits(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """By output of the network, float32 (N, C) before the softmax. Raises as `predict` does."""
        self._check_crops(crops)
        heads = self.card.network_heads
        whole = {head.name: np.empty((len(crops), len(head.labels)), np.float32) for head in heads}
        for start in range(0, len(crops), self.batch_size):
            batch = np.ascontiguousarray(crops[start : start + self.batch_size])
            for name, out in zip(whole, self._run(list(whole), batch), strict=True):
                whole[name][start : start + len(batch)] = out
        if not all(np.isfinite(out).all() for out in whole.values()):
            raise ModelError(f"model {self.name!r} gave NaN or infinity. Export it again.")
        return whole

    def _run(self, heads: list[str], batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        from mien.models.runtime import run_session

        return run_session(self._session, heads, {_INPUT: batch}, f"model {self.name!r}")

    def _outputs(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """By output of the network, probabilities (N, C)."""
        logits = self.logits(crops)
        return {name: softmax(out / np.float32(self.temperatures[name])) for name, out in logits.items()}

    def _probabilities(self, head: Head, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The probabilities (N, C) of a head, from those of the network's outputs."""
        both = head.combination
        if both is None:
            return outputs[head.name]
        combined = both.apply(outputs[both.first], outputs[both.second], head.labels)
        return tempered(combined, self.temperatures[head.name]).astype(np.float32)

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


class OnnxClassifier(HeadClassifier):
    """One head of an exported model: what scores one set of labels. Several share the session of one model.

    Args:
        model: an open `OnnxModel`, a shipped name, or the path of an ONNX file with its card beside it.
        head: the name of the head; the model's default head for None.
        options: those of `OnnxModel`, where the model is not open yet.

    Raises:
        CardError: the model has no such head; or as `OnnxModel` does.
        UnknownModel, ModelError, UsageError: as `OnnxModel` does.
    """

    model: OnnxModel

    def __init__(
        self, model: str | Path | OnnxModel = DEFAULT, *, head: str | None = None, **options: Any
    ) -> None:
        opened = model if isinstance(model, OnnxModel) else OnnxModel(model, **options)
        super().__init__(opened, head or opened.card.default_head)

    @property
    def card(self) -> Card:
        """The card of the model."""
        return self.model.card

    @property
    def head(self) -> Head:
        """The head, as the card describes it."""
        return self.card.head(self.head_name)

    @property
    def device(self) -> str:
        """Where it runs: ``"cpu"``, ``"cuda"`` or ``"coreml"``."""
        return self.model.device

    def rows(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One row per face for `mien.inference.face.read_face`, see `OnnxModel.rows`."""
        return self.model.rows(crops)[self.head_name]

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The head's logits, float32 (N, C), before temperature and softmax. Raises as `predict` does.

        A head that is computed from others has none (KeyError).
        """
        return self.model.logits(crops)[self.head_name]


def _open_session(path: Path, device: str, threads: int | None) -> Any:
    from mien.models.runtime import onnxruntime, open_session

    if threads is not None and threads < 1:
        raise UsageError(f"threads must be 1 or more, not {threads}.")
    providers = _providers(device, onnxruntime.get_available_providers())
    session = open_session(path, threads=threads, providers=providers)
    if device != "auto" and session.get_providers()[0] != _PROVIDERS[device]:
        raise UsageError(
            f"device {device!r} was requested, but ONNX Runtime could only use {session.get_providers()[0]}; "
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


def _check_contract(session: Any, card: Card, path: Path) -> None:
    """Raise where the ONNX file and its card do not belong together, before the first batch."""
    inputs = {node.name: (node.type, node.shape[1:]) for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    size = card.input_size
    if inputs != {_INPUT: ("tensor(uint8)", [size, size])}:
        raise CardError(f"{path} must take pixels uint8 (N, {size}, {size}) as its card says, not {inputs}.")
    for head in card.network_heads:
        if head.name not in outputs:
            raise CardError(
                f"{path} has no output {head.name!r} as its card says; it has: {', '.join(outputs)}."
            )
        if (shape := outputs[head.name]) and shape[-1] != len(head.labels):
            raise CardError(
                f"{path}: output {head.name!r} is {shape}; its card names {len(head.labels)} labels."
            )
    for head in card.heads:
        if (both := head.combination) is None:
            continue
        first, second = card.head(both.first), card.head(both.second)
        if first.labels != head.labels or second.labels != tuple(both.bias):
            raise CardError(
                f"the card of {path}: head {head.name!r} must have the labels of {both.first!r}, and one "
                f"bias for each label of {both.second!r}, in their order."
            )
