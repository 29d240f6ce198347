"""The metadata of an ONNX file, for programs that have it without its card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import onnx

from mien.files import sha256_file, write_atomically
from mien.models.card import Card


def metadata_of(card: Card) -> dict[str, str]:
    """The metadata of a file with this card: text by name.

    ``labels``, ``framing`` and ``card`` are JSON. The card has no ``sha256``: that is of the whole file, in
    which the card stands.
    """
    facts = {name: value for name, value in dataclasses.asdict(card).items() if name != "sha256"}
    side = card.input_size
    return {
        "name": card.name,
        "input": f"pixels: uint8 (N, {side}, {side}), gray from 0 to 255; mean and std are applied inside",
        "output": "logits, float32 (N, labels) by head: divide by the head's temperature, then softmax",
        "labels": json.dumps({head.name: head.labels for head in card.network_heads}),
        "temperature": json.dumps({head.name: head.temperature for head in card.network_heads}),
        "mean": str(card.mean),
        "std": str(card.std),
        "framing": json.dumps(None if card.framing is None else dataclasses.asdict(card.framing)),
        "licence": card.licence,
        "card": json.dumps(facts, ensure_ascii=False),
    }


def embed(card: Card, path: Path) -> Card:
    """Write the metadata of a card into its ONNX file; the card with the hash that the file has then."""
    return dataclasses.replace(card, sha256=write_metadata(metadata_of(card), path))


def write_metadata(props: Mapping[str, str], path: Path) -> str:
    """Write metadata into an ONNX file in place of its own; the SHA-256 that the file has then.

    The graph and the weights stay as they are.
    """
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(props))
    write_atomically(path, model.SerializeToString())
    return sha256_file(path)
