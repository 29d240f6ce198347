"""A run exported: proved, quantized if wanted, calibrated and measured, with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mien.data.table import FaceTable
from mien.evaluation.latency import time_one_face
from mien.evaluation.predictions import default_split
from mien.exporting.calibrate import MeasuredHead, completed_card, measure
from mien.exporting.card import write_card
from mien.exporting.metadata import embed
from mien.exporting.onnx import Exported, export_run
from mien.exporting.quality import with_quality
from mien.exporting.quantize import quantize_export
from mien.images.crop import FER2013_FRAMING
from mien.models.card import Card
from mien.models.registry import ModelFile


@dataclass(frozen=True)
class ExportResult:
    """What was written.

    Attributes:
        models: the float32 model, and behind it the int8 model where one was wanted.
        split: the faces on which they were proved and measured.
        measured: by name of the model, the figures of each head; empty without calibration.
    """

    models: tuple[Exported, ...]
    split: str
    measured: Mapping[str, Mapping[str, MeasuredHead]] = field(default_factory=dict)

    def __repr__(self) -> str:
        files = ", ".join(str(model.onnx) for model in self.models)
        return f"<ExportResult: {files}; proved on {self.split}>"


def export_model(
    run: Path,
    out: Path | None,
    table: FaceTable,
    *,
    name: str | None = None,
    split: str | None = None,
    int8: bool = False,
    calibrate: bool = True,
    tta: bool = True,
    progress: Callable[[str], None] | None = None,
) -> ExportResult:
    """Export a run with the faces of a table; `mien.export` describes the options and errors."""
    show = progress or (lambda _: None)
    split = split or default_split(table)
    show(f"exporting {run} and proving it on {split}")
    models = [export_run(run, out, faces=table, name=name, split=split, framing=FER2013_FRAMING)]
    if int8:
        show("quantizing to eight bits")
        models.append(quantize_export(models[0], table, np.random.default_rng(0), split=split))
    measured = {}
    for i, model in enumerate(models if calibrate else ()):
        card, heads = measure_card(model, table, split, tta=tta, progress=show)
        card = embed(card, model.onnx)
        write_card(card, model.onnx)
        models[i], measured[card.name] = replace(model, card=card), heads
    return ExportResult(tuple(models), split, measured)


def measure_card(
    model: ModelFile,
    table: FaceTable,
    split: str,
    *,
    tta: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Card, dict[str, MeasuredHead]]:
    """Calibrate and measure a model on disk; its card with temperatures, figures and latency, as written.

    Raises:
        UsageError: too few labelled faces.
    """
    measured = measure(model, table, split, tta=tta, progress=progress)
    card = completed_card(model.card, split, measured, time_one_face(model.onnx))
    write_card(card, model.onnx)  # the next step predicts as the card now says
    card = with_quality(card, model.onnx, table, split, progress)
    write_card(card, model.onnx)
    return card, measured
