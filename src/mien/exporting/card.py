"""The card of an export: written from what the run recorded, and completed by what is measured later."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mien.errors import ModelError
from mien.files import sha256_file, write_atomically
from mien.models.card import Card, Framing, Head, without_folders
from mien.models.combination import Combination
from mien.training.classifier import LoadedRun
from mien.training.network.cost import count_macs, count_parameters
from mien.training.network.model import HEAD_ABSTAIN, head_labels

LICENCE = "not set: whoever trained these weights chooses it, as far as the terms of the data allow"


def card_of_run(
    run: Path,
    loaded: LoadedRun,
    onnx: Path,
    *,
    name: str,
    input_size: int,
    framing: Framing | None,
    export: Mapping[str, Any],
) -> Card:
    """The card of an ONNX file made from a run, uncalibrated and without figures.

    The default head is the votes' where the network has one: a distribution over people's votes says
    more than one label. `export` holds the facts of the export itself, kept under ``training.export``.

    Raises:
        ModelError: the run's run.json is missing or not JSON.
    """
    network, recipe, _ = loaded
    own = recipe.data.classes
    heads = tuple(Head(head, head_labels(head, own), HEAD_ABSTAIN.get(head, ())) for head in network.heads)
    facts = _read_facts(run)
    return Card(
        name=name,
        backbone=recipe.network.backbone,
        heads=heads,
        default_head="votes" if "votes" in network.heads else heads[0].name,
        input_size=input_size,
        network_size=network.size,
        mean=recipe.network.mean,
        std=recipe.network.std,
        framing=framing,
        sha256=sha256_file(onnx),
        parameters=count_parameters(network),
        macs=count_macs(network, torch.zeros(1, 1, input_size, input_size)),
        licence=LICENCE,
        data={
            **facts["data"],
            "source": without_folders(facts["data"]["source"]),
            "trained_on": recipe.data.train,
            "training_faces": facts.get("training_faces"),
            "without_duplicates_of": list(recipe.data.without_duplicates_of),
        },
        training=_training(loaded, facts, export),
        notes=_notes(loaded),
    )


def with_measurements(
    card: Card,
    *,
    temperatures: Mapping[str, float] | None = None,
    conformal: Mapping[str, Mapping[str, float]] | None = None,
    certain_margins: Mapping[str, float] | None = None,
    figures: Mapping[str, Any] | None = None,
    latency: Mapping[str, Any] | None = None,
) -> Card:
    """The card with what was measured put in place; what is not given stays.

    Args:
        card: of the model that was measured.
        temperatures: by name of the head.
        conformal: by name of the head, coverage (such as 0.9, or its text ``"0.90"``) to threshold.
        certain_margins: by name of the head.
        figures: by split; splits that are not named keep theirs.
        latency: milliseconds per face, and the machine.

    Raises:
        CardError: a head that the model does not have.
    """
    temperatures, conformal, certain_margins = temperatures or {}, conformal or {}, certain_margins or {}
    for name in (*temperatures, *conformal, *certain_margins):
        card.head(name)
    heads = tuple(
        dataclasses.replace(
            head,
            temperature=float(temperatures.get(head.name, head.temperature)),
            conformal={
                f"{float(coverage):.2f}": float(threshold)
                for coverage, threshold in conformal.get(head.name, head.conformal).items()
            },
            certain_margin=certain_margins.get(head.name, head.certain_margin),
        )
        for head in card.heads
    )
    return dataclasses.replace(
        card,
        heads=heads,
        figures={**card.figures, **(figures or {})},
        latency=card.latency if latency is None else dict(latency),
    )


def with_combined_head(card: Card, name: str, combination: Combination) -> Card:
    """The card with a head that is computed from two others, as its last and its default."""
    first = card.head(combination.first)
    combined = Head(name, first.labels, first.abstain, combination=combination)
    return dataclasses.replace(card, heads=(*card.network_heads, combined), default_head=name)


def write_card(card: Card, onnx: Path) -> Path:
    """Write a card beside its ONNX file, whole or not at all; the path that it has then."""
    path = onnx.with_suffix(".json")
    write_atomically(path, card.to_json().encode())
    return path


def _read_facts(run: Path) -> dict[str, Any]:
    path = run / "run.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        facts["data"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} does not say what the run was trained on ({error!r}), and a card must. "
            "Restore the file, or train again."
        ) from error
    return facts


def _training(loaded: LoadedRun, facts: dict[str, Any], export: Mapping[str, Any]) -> dict[str, Any]:
    recipe, epoch = loaded.recipe, loaded.facts["epoch"]
    return {
        "recipe": recipe.to_dict(),
        "seed": recipe.loop.seed,
        "epochs": recipe.schedule.epochs,
        "best_epoch": epoch["epoch"],
        "seconds": round(epoch["seconds"], 1),
        "started": facts.get("started"),
        "commit": facts.get("commit"),
        "hardware": facts.get("hardware"),
        "versions": facts.get("versions"),
        "averaged_weights": loaded.facts["ema"],
        "export": dict(export),
    }


def _notes(loaded: LoadedRun) -> tuple[str, ...]:
    spec, kept = loaded.recipe.data, loaded.facts["epoch"]["epoch"]
    notes = [
        "Predicts how a face looks to people who label images, not what the person feels.",
        f"Of the {loaded.recipe.schedule.epochs} epochs planned, number {kept} was kept, for its "
        f"{loaded.recipe.loop.select} on {spec.validation_name}: figures there are a little too good.",
    ]
    if spec.without_duplicates_of:
        notes.append(
            f"Faces of {spec.train} that are pixel-identical to one of "
            f"{', '.join(spec.without_duplicates_of)} were not trained on."
        )
    return tuple(notes)
