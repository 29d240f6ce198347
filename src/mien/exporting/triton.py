"""A model repository for NVIDIA Triton, and for KServe's Triton runtime.

Source: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mien.errors import UsageError
from mien.files import write_atomically
from mien.models.card import Card
from mien.models.registry import find_model

# More crops in one run are no faster: docs/benchmarks.md.
_MAX_BATCH = 64
# How long a request waits for others to share its run. One crop takes about as long.
_DELAY_US = 2000


def write_triton_repository(
    model: str | Path, folder: Path, *, max_batch: int = _MAX_BATCH, delay_us: int = _DELAY_US
) -> Path:
    """Write ``FOLDER/NAME/config.pbtxt`` and ``FOLDER/NAME/1/model.onnx``; returns ``FOLDER/NAME``.

    The model takes ``pixels``, uint8 (N, S, S) gray crops of faces, and gives the logits of each head,
    float32 (N, labels). Labels stand in ``HEAD.txt``, and the card, which has temperatures and framing, in
    ``card.json``. Detection and cropping stay with the client.

    Args:
        model: a shipped name, or the path of an ONNX file with its card beside it.
        folder: of all models; made if it is missing. Files of the same model in it are replaced.
        max_batch: the most crops in one run.
        delay_us: how long a request waits for others to share its run, in microseconds.

    Raises:
        UnknownModel, CardError: the model cannot be found, or is not the one of its card.
        UsageError: a number out of range, or a file that cannot be written.
    """
    if max_batch < 1 or delay_us < 0:
        raise UsageError(f"max_batch must be 1 or more and delay_us 0 or more, not {max_batch}, {delay_us}.")
    file = find_model(model, verify=True)
    place = folder / file.card.name
    try:
        (place / "1").mkdir(parents=True, exist_ok=True)
        write_atomically(place / "1" / "model.onnx", file.onnx.read_bytes())
        write_atomically(place / "card.json", file.card.to_json())
        for head in file.card.network_heads:
            write_atomically(place / f"{head.name}.txt", "\n".join(head.labels) + "\n")
        write_atomically(place / "config.pbtxt", _config(file.card, max_batch, delay_us))
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror or error}.") from error
    return place


def _config(card: Card, max_batch: int, delay_us: int) -> str:
    """The configuration in the text format of protocol buffers; strings are quoted as JSON quotes them."""
    size = card.input_size
    outputs = [
        f"  {{ name: {_text(head.name)} data_type: TYPE_FP32 dims: [ {len(head.labels)} ] "
        f"label_filename: {_text(f'{head.name}.txt')} }}"
        for head in card.network_heads
    ]
    facts = {f"temperature.{head.name}": f"{head.temperature!r}" for head in card.network_heads}
    facts |= {"sha256": card.sha256, "licence": card.licence}
    lines = [
        f"name: {_text(card.name)}",
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {max_batch}",
        f'input [\n  {{ name: "pixels" data_type: TYPE_UINT8 dims: [ {size}, {size} ] }}\n]',
        f"output [\n{_list(outputs)}\n]",
        f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}",
        *(
            f"parameters {{ key: {_text(key)} value {{ string_value: {_text(value)} }} }}"
            for key, value in facts.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _list(entries: Iterable[str]) -> str:
    return ",\n".join(entries)


def _text(value: str) -> str:
    return json.dumps(value)
