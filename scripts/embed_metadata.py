"""Write what the JSON beside each file of weights holds into the file itself, and the new hashes.

    python scripts/embed_metadata.py [--data fer2013.csv]

`mien export` does this for a file that it writes. For the files that ship: run it after their JSON was edited
or their weights converted anew, then `scripts/write_model_docs.py`; mien-js takes the files when it is built.
The graph and the weights stay, which is checked. With --data, the outputs for 500 faces of PublicTest are
compared bit by bit, and the CPU time is taken with each file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mien.data import load
from mien.exporting.card import write_card
from mien.exporting.metadata import embed, write_metadata
from mien.files import write_atomically
from mien.models.card import read_card
from mien.models.registry import FOLDER, shipped, write_hashes
from mien.models.runtime import onnxruntime, session_options

FACES = 500
ROUNDS = 15


def embed_file(path: Path) -> bool:
    """Write the metadata of a shipped file, and its JSON with the new hash; whether the file has changed."""
    before = path.read_bytes()
    facts = path.with_suffix(".json")
    if path.stem in shipped():
        write_card(embed(read_card(facts), path), path)
    else:
        text = facts.read_text(encoding="utf-8")
        old = json.loads(text)
        new = write_metadata(text_of(old), path)
        write_atomically(facts, text.replace(old["sha256"], new))
    return path.read_bytes() != before


def text_of(facts: dict[str, Any]) -> dict[str, str]:
    """The facts but the hash as they stand in the metadata: texts as they are, other values as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in facts.items()
        if name != "sha256"
    }


def graph(content: bytes) -> bytes:
    """The file without its metadata."""
    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    return model.SerializeToString()


def session(content: bytes) -> onnxruntime.InferenceSession:
    """A session on one core."""
    return onnxruntime.InferenceSession(content, session_options(1), providers=["CPUExecutionProvider"])


def inputs(net: onnxruntime.InferenceSession, faces: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The faces one by one, as the network takes them: (1, 48, 48), or enlarged and in color."""
    shape = net.get_inputs()[0].shape
    if len(shape) == 3:
        return [face[None] for face in faces]
    side = shape[1] if isinstance(shape[1], int) else 256
    block = np.ones((side // 48 + 1,) * 2, np.uint8)
    large = (np.kron(face, block)[:side, :side] for face in faces)
    return [np.repeat(face[None, :, :, None], 3, axis=3) for face in large]


def compare(before: bytes, after: bytes, faces: NDArray[np.uint8]) -> str:
    """Whether both files predict the same, and the CPU time of each: the machine may be busy.

    Raises:
        SystemExit: an output differs in a bit.
    """
    nets = session(before), session(after)
    name = nets[0].get_inputs()[0].name
    images = inputs(nets[0], faces)
    for image in images:
        old, new = (net.run(None, {name: image}) for net in nets)
        if any(a.tobytes() != b.tobytes() for a, b in zip(old, new, strict=True)):
            raise SystemExit("the outputs differ: the old files are in git.")
    opens: list[list[float]] = [[], []]
    runs: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for i, content in enumerate((before, after)):
            start = time.process_time()
            session(content)
            opens[i].append(time.process_time() - start)
            for image in images[:40]:
                start = time.process_time()
                nets[i].run(None, {name: image})
                runs[i].append(time.process_time() - start)
    least = [f"{min(each) * 1e3:.2f} ms" for each in opens]
    median = [f"{np.median(each) * 1e3:.3f} ms" for each in runs]
    return (
        f"{len(images)} faces, the same bits; to open {least[0]} before, {least[1]} after "
        f"(least of {ROUNDS}); one face {median[0]} before, {median[1]} after (median of {len(runs[0])}); "
        "CPU time on one core"
    )


def main() -> None:
    """Write, check and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="FER2013: compare the outputs and the CPU time before and after")
    options = parser.parse_args()
    faces = load(options.data).split("PublicTest").pixels[:FACES] if options.data else None
    for path in sorted(FOLDER.glob("*.onnx")):
        before = path.read_bytes()
        changed = embed_file(path)
        after = path.read_bytes()
        if graph(before) != graph(after):
            raise SystemExit(f"the graph of {path.name} differs: the old file is in git.")
        print(
            f"{path.name}: {len(before)} bytes before, {len(after)} after"
            if changed
            else f"{path.name}: as it was"
        )
        if changed and faces is not None:
            print("  " + compare(before, after, faces))
    write_hashes()


if __name__ == "__main__":
    main()
