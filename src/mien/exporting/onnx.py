"""A run's best network as an ONNX file and its card, written only when both are proved to agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mien.data.table import FaceTable
from mien.errors import UsageError
from mien.exporting.card import card_of_run, write_card
from mien.exporting.graph import OPSET, write_onnx
from mien.exporting.metadata import embed
from mien.exporting.parity import HeadAgreement, prove, run_onnx
from mien.files import kind_of_path, staged
from mien.models.card import Framing
from mien.models.registry import ModelFile
from mien.training.classifier import load_run, logits_of


@dataclass(frozen=True)
class Exported(ModelFile):
    """A model on disk, and by head how far it agrees with what it was made from."""

    agreement: Mapping[str, HeadAgreement]


def export_run(
    run: Path,
    out: Path | None = None,
    *,
    faces: FaceTable,
    name: str | None = None,
    split: str = "PublicTest",
    framing: Framing | None = None,
) -> Exported:
    """Write the best network of a run as ONNX, with its card beside it, and prove that they agree.

    torch and ONNX Runtime predict every face of the split. Both files are put in place only if their
    probabilities agree to 1e-4 and their most probable classes everywhere; otherwise nothing changes.

    Args:
        run: the run's folder.
        out: the file to write, ending in ``.onnx``; ``NAME.onnx`` in the run's folder for None.
        faces: the table that has the split.
        name: the model's name; that of `out`, or ``mien-RECIPE``, for None.
        split: the faces to prove it on.
        framing: where the detector's box lies in a training image.

    Raises:
        ModelError: the folder holds no network that can be loaded.
        ExportError: the network cannot be expressed in ONNX, or the predictions disagree.
        DataError: the table has no such split.
        UsageError: `out` cannot be written or does not end in ``.onnx``, the faces are of another size, or
            the run was trained on a binary task.
    """
    loaded = load_run(run)
    if loaded.recipe.data.binary:
        raise UsageError(
            f"{run} was trained on the binary task {loaded.recipe.data.binary!r}; an exported model predicts "
            "emotions. Compare it with others by mien compare --binary, or train one without data.binary."
        )
    name = name or (out.stem if out else f"mien-{loaded.recipe.name}")
    out = out or run / f"{name}.onnx"
    check_output(out)
    input_size = loaded.recipe.data.face_size
    crops = faces.split(split).pixels
    if crops.shape[1:] != (input_size, input_size):
        raise UsageError(
            f"{run} was trained on faces of {input_size} x {input_size} pixels; these are {crops.shape[1:]}. "
            "Read them at that size."
        )
    with staged(out) as temporary:
        write_onnx(loaded.network, temporary, input_size=input_size)
        proof = prove(logits_of(loaded.network, crops), run_onnx(temporary, crops))
        card = card_of_run(
            run,
            loaded,
            temporary,
            name=name,
            input_size=input_size,
            framing=framing,
            export={
                "opset": OPSET,
                "versions": {package: version(package) for package in ("torch", "onnx", "onnxruntime")},
                "agreement": {"split": split, **{head: found.to_dict() for head, found in proof.items()}},
            },
        )
        card = embed(card, temporary)
        write_card(card, out)  # before the model moves: none stays without its card
    return Exported(out, card, proof)


def check_output(out: Path) -> None:
    """Raise where a model cannot be written.

    Raises:
        UsageError: another ending than ``.onnx``, or a folder that does not exist.
    """
    if out.suffix != ".onnx":
        raise UsageError(f"{out} must end in .onnx: its card goes beside it, ending in .json.")
    if kind_of_path(out.parent, UsageError) != "folder":
        raise UsageError(f"{out} cannot be written: there is no folder {out.parent}. Create it first.")
