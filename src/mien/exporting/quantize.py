"""An exported model in eight bits: about a quarter of the size, and what that costs in its card."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.table import FaceTable
from mien.emotions import FER2013
from mien.exporting.card import write_card
from mien.exporting.graph import INPUT
from mien.exporting.metadata import embed
from mien.exporting.onnx import Exported, check_output
from mien.exporting.parity import HeadAgreement, agreement, run_onnx
from mien.files import sha256_file, staged
from mien.models.card import Card

# Faces that the ranges of the activations are taken from.
_FACES = 256
_BATCH = 16


def quantize_export(
    exported: Exported,
    faces: FaceTable,
    generator: np.random.Generator,
    *,
    split: str = "PublicTest",
    calibrate_on: str = "Training",
    out: Path | None = None,
) -> Exported:
    """The same model in eight bits, as a second file with its own card.

    Weights are signed, with a scale a channel; activations are unsigned, with the ranges that they take on
    faces of `calibrate_on`, drawn by the generator. Its predictions for `split` are compared
    with those of the float32 model, and its card states the difference; temperatures and figures start anew.

    Args:
        exported: the float32 model.
        faces: the table that has both splits.
        generator: draws the faces for the ranges.
        split: the faces to measure on.
        calibrate_on: the split to take the ranges from.
        out: the file to write; NAME-int8.onnx beside the float32 one for None.

    Raises:
        DataError: the table lacks one of the splits.
        ExportError: ONNX Runtime cannot run the result.
        UsageError: `out` cannot be written.
    """
    out = out or exported.onnx.with_name(f"{exported.onnx.stem}-int8.onnx")
    check_output(out)
    measured = faces.split(split)
    pool = faces.split(calibrate_on).pixels
    chosen = pool[np.sort(generator.choice(len(pool), min(_FACES, len(pool)), replace=False))]
    with staged(out) as temporary:
        _quantize(exported.onnx, temporary, chosen)
        before, after = run_onnx(exported.onnx, measured.pixels), run_onnx(temporary, measured.pixels)
        found = {name: agreement(before[name], after[name]) for name in before}
        facts: dict[str, Any] = {
            "calibrated_on": {"split": calibrate_on, "faces": len(chosen)},
            "agreement_with_float32": {"split": split} | {name: a.to_dict() for name, a in found.items()},
        }
        if "fer2013" in before:
            was, now = (_accuracy(logits["fer2013"], measured) for logits in (before, after))
            facts["accuracy"] = {"split": split, "float32": was, "int8": now, "drop": was - now}
        card = embed(_card(exported, temporary, out.stem, facts, found), temporary)
        write_card(card, out)  # before the model moves: none stays without its card
    return Exported(out, card, found)


def _card(
    exported: Exported, onnx: Path, name: str, facts: dict[str, Any], found: dict[str, HeadAgreement]
) -> Card:
    card = exported.card
    cost = ", ".join(f"{a.same_top / a.faces:.2%} on head {head}" for head, a in found.items())
    note = (
        f"Quantized to eight bits. It predicts the class of the float32 model {card.name} for {cost}. "
        "x86 processors without VNNI saturate in eight bits and may differ more."
    )
    if accuracy := facts.get("accuracy"):
        note += (
            f" Accuracy on {accuracy['split']}: {accuracy['int8']:.2%}, where float32 has "
            f"{accuracy['float32']:.2%}."
        )
    return dataclasses.replace(
        card,
        name=name,
        sha256=sha256_file(onnx),
        heads=tuple(
            dataclasses.replace(head, temperature=1.0, conformal={}, certain_margin=None)
            for head in card.heads
        ),
        training={**card.training, "export": {**card.training["export"], "int8": facts}},
        figures={},
        notes=(*card.notes, note),
    )


def _quantize(source: Path, target: Path, crops: NDArray[np.uint8]) -> None:
    import mien.models.runtime  # noqa: F401, I001 - first, so that ONNX Runtime is imported without telemetry
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Faces(CalibrationDataReader):  # type: ignore[misc]
        """The crops, a few at a time."""

        def __init__(self) -> None:
            self._batches = iter(
                {INPUT: np.ascontiguousarray(crops[i : i + _BATCH])} for i in range(0, len(crops), _BATCH)
            )

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(self._batches, None)

    with TemporaryDirectory(prefix="mien-int8-") as folder, _quiet_root_logger():
        prepared = Path(folder) / "prepared.onnx"
        # Symbolic shapes need sympy; every shape but N is known anyway.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True, skip_optimization=True)
        quantize_static(
            str(prepared),
            str(target),
            Faces(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # Lite0 at 96 px on one core of an AMD EPYC with VNNI, ms per face: float32 2.1, unsigned by
            # signed 1.2, signed by signed 2.0, unsigned by unsigned 8.8. Seven-bit weights (reduce_range),
            # which older processors want, cost 3.0 points of accuracy instead of 0.7.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """The quantiser logs advice through the root logger, which sets that up as a side effect."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.addHandler(logging.NullHandler())
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _accuracy(logits: NDArray[np.float32], faces: FaceTable) -> float:
    """Share of the labelled faces whose most probable class is their label."""
    column = np.array([FER2013.index(name) for name in faces.classes])
    known = faces.labels >= 0
    return float((logits.argmax(axis=1)[known] == column[faces.labels[known]]).mean())
