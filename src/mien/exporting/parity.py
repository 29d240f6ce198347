"""The proof that an exported file predicts what its network predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ExportError
from mien.exporting.graph import INPUT
from mien.probabilities import softmax

# The most that a probability may differ between torch and ONNX Runtime. Float32 sums in another order differ
# by about 1e-6; a wrong padding or resize by 1e-2 and more.
LIMIT = 1e-4

Logits = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class HeadAgreement:
    """How far two predictions of one head for the same faces agree.

    Attributes:
        faces: how many were predicted.
        max_dp: the largest difference of a probability.
        same_top: faces whose most probable class is the same.
    """

    faces: int
    max_dp: float
    same_top: int

    def to_dict(self) -> dict[str, Any]:
        """The agreement as plain values."""
        return asdict(self)


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> HeadAgreement:
    """How far two arrays of logits (N, C) agree, N > 0, as probabilities."""
    difference = np.abs(softmax(one).astype(np.float64) - softmax(other))
    return HeadAgreement(
        len(one), float(difference.max()), int((one.argmax(axis=1) == other.argmax(axis=1)).sum())
    )


def prove(expected: Logits, exported: Logits) -> dict[str, HeadAgreement]:
    """The agreement of each head, where it is as good as it must be.

    Raises:
        ExportError: a head is missing, a probability differs by more than `LIMIT`, is not a number, or a
            face has another most probable class.
    """
    if list(expected) != list(exported):
        raise ExportError(f"the file has the heads {list(exported)}, the network {list(expected)}.")
    proof = {name: agreement(expected[name], exported[name]) for name in expected}
    for name, found in proof.items():
        # Written so that NaN fails.
        if not found.max_dp <= LIMIT or found.same_top != found.faces:
            raise ExportError(
                f"torch and ONNX Runtime disagree on head {name!r}: probabilities by up to "
                f"{found.max_dp:.2g} (allowed {LIMIT:g}) and the most probable class on "
                f"{found.faces - found.same_top} of {found.faces} faces. Nothing was written. Other versions "
                "of torch or onnxruntime may help."
            )
    return proof


def run_onnx(path: Path, crops: NDArray[np.uint8], *, batch_size: int = 64) -> dict[str, NDArray[np.float32]]:
    """Logits (N, C) of ONNX Runtime on the CPU by output, for faces, uint8 (N, S, S), N > 0.

    Raises:
        ExportError: ONNX Runtime cannot open or run the file.
    """
    from mien.models.runtime import open_session

    try:
        session = open_session(path)
        batches = [
            session.run(None, {INPUT: np.ascontiguousarray(crops[start : start + batch_size])})
            for start in range(0, len(crops), batch_size)
        ]
    except Exception as error:  # its exceptions share no public base but Exception
        raise ExportError(f"ONNX Runtime cannot run the exported file: {error}") from error
    names = [output.name for output in session.get_outputs()]
    return {
        name: np.concatenate(parts) for name, parts in zip(names, zip(*batches, strict=True), strict=True)
    }
