"""Soft targets kept in a file: what teachers predict of each face. A student can be repeated without them.

The file holds no pixels. A row is found by the hash of its face's pixels, whatever the order of the data.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import DataError, RecipeError, reason
from mien.files import write_atomically

_HASHES = "pixels"


def hashes_of(faces: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(N,): 64 bits of BLAKE2b of the pixels of each face, uint8 (N, S, S)."""
    digests = [
        hashlib.blake2b(face.tobytes(), digest_size=8).digest() for face in np.ascontiguousarray(faces)
    ]
    return np.frombuffer(b"".join(digests), np.uint64)


def write_soft_targets(
    path: Path, faces: NDArray[np.uint8], predictions: Mapping[str, NDArray[np.floating]]
) -> None:
    """Write the predictions (N, C) by head of faces, uint8 (N, S, S), in steps of 1/255."""
    steps = {head: np.rint(rows * 255).astype(np.uint8) for head, rows in predictions.items()}
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {_HASHES: hashes_of(faces), **steps}
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read_soft_targets(path: Path, faces: NDArray[np.uint8], heads: tuple[str, ...]) -> dict[str, Tensor]:
    """Probabilities float32 (N, C) by head of faces, uint8 (N, S, S), from a file of soft targets.

    Raises:
        RecipeError: the file cannot be read, or lacks a head.
        DataError: it lacks a face.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RecipeError(f"distil.predictions: {path} cannot be read ({reason(error)}).") from error
    if lacking := [name for name in (_HASHES, *heads) if name not in arrays]:
        raise RecipeError(f"distil.predictions: {path} has no predictions {lacking[0]!r}.")
    known = arrays[_HASHES]
    order = np.argsort(known)
    wanted = hashes_of(faces)
    place = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    rows = order[place]
    if missing := int((known[rows] != wanted).sum()):
        raise DataError(
            f"distil.predictions: {path} has no predictions for {missing:,} of {len(faces):,} training "
            "faces. It was made from other data; make it again, or use distil.teachers."
        )
    chosen = {head: torch.from_numpy(arrays[head][rows].astype(np.float32)) for head in heads}
    return {head: steps / steps.sum(1, keepdim=True).clamp(min=1) for head, steps in chosen.items()}
