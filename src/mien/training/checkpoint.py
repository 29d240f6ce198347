"""Checkpoints: one safetensors file each, its facts as JSON in the header, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from mien.errors import ResumeError
from mien.files import write_atomically

# The files of a run's folder: the weights of its best epoch, and everything that it needs to go on.
BEST, LAST = "best.safetensors", "last.safetensors"
_META, _HASH = "mien", "sha256"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Tensors by name, and facts that JSON can hold."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix/``, without it."""
        start = f"{prefix}/"
        return {
            key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)
        }


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Store a checkpoint atomically."""
    tensors = {key: value.detach().to("cpu").contiguous() for key, value in checkpoint.tensors.items()}
    facts = json.dumps(checkpoint.facts)
    write_atomically(path, save(tensors, {_META: facts, _HASH: _hash(tensors, facts)}))


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, tensors on the CPU.

    Raises:
        ResumeError: the file is missing, is no checkpoint of mien, or was changed (if it has a hash).
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            facts = json.loads(about[_META])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ResumeError(f"{path} is missing: there is nothing to resume. Start a new run.") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise ResumeError(
            f"{path} is cut short, or is not a checkpoint of mien ({error}). Start a new run."
        ) from error
    if about.get(_HASH, found := _hash(tensors, about[_META])) != found:
        raise ResumeError(f"{path} was changed after it was written: its hash differs. Start a new run.")
    return Checkpoint(tensors, facts)


def _hash(tensors: dict[str, Tensor], facts: str) -> str:
    """The SHA-256 of tensors and facts, in hex."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def pack_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's state as named tensors and, by parameter group, plain values."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}/{name}": torch.as_tensor(value)
        for index, values in state["state"].items()
        for name, value in values.items()
        if value is not None
    }
    return tensors, state["param_groups"]


def unpack_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """Restore an optimizer from what `pack_optimizer` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape:
                # Laid out in memory as the parameter is, as it was: the order of additions depends on it.
                values[name] = torch.empty_like(parameter).copy_(value)
