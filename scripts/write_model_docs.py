"""Write the figures of the shipped models and the keys of recipes into the pages, between their markers.

So that a figure in the documentation cannot differ from the one that was measured.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mien.card import Card
from mien.train.recipe import Recipe
from mien.weights import DEFAULT, find_model, shipped

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "models.md", ROOT / "docs" / "training.md")
SPLIT = "PublicTest"


def filled(text: str) -> str:
    """A page with what stands between each pair of markers written anew."""
    for name, section in SECTIONS.items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        if found:
            text = f"{before}{begin}\n{section()}\n{end}{rest.partition(end)[2]}"
    return text


def overview() -> str:
    """One row a shipped model."""
    rows = [
        "| model | FER2013, 7 classes, PublicTest (n) | without Training's duplicates (n) | FER+ majority, 8 classes (n) "
        "| parameters | file |",
        "|---|---|---|---|---|---|",
    ]
    for name in shipped():
        model = find_model(name)
        labels, votes = _scores(model.card, "fer2013"), _scores(model.card, "votes")["votes"]
        rows.append(
            f"| `{name}` | **{_interval(labels)}** ({labels['n']:,}) "
            f"| {_interval(labels['deduplicated'])} ({labels['deduplicated']['n']:,}) "
            f"| {_interval(votes)} ({votes['n']:,}) "
            f"| {model.card.parameters / 1e6:.2f} M | {model.onnx.stat().st_size / 1e6:.1f} MB |"
        )
    training = find_model(DEFAULT).card.training
    rows += ["", f"One seed; 95 % bootstrap intervals over faces; {_where(training)}."]
    return "\n".join(rows)


def facts() -> str:
    """What the model is, in numbers."""
    model = find_model(DEFAULT)
    card, training = model.card, model.card.training
    export = training["export"]
    agree = ", ".join(f"{head.name} {export['agreement'][head.name]['max_dp']:.1g}" for head in card.heads)
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| parameters, MACs a face | {card.parameters:,}, {card.macs / 1e6:.0f} M |",
            f"| file | {model.onnx.stat().st_size / 1e6:.1f} MB, SHA-256 `{card.sha256}` |",
            f"| trained | {_where(training)}, {training['seconds'] / 3600:.1f} h, epoch {training['best_epoch']} of "
            f"{training['epochs']}, seed {training['seed']} |",
            f"| ONNX against PyTorch on {SPLIT} | largest difference of a probability: {agree}; every answer equal |",
            f"| licence | {card.licence} |",
        ]
    )


def figures() -> str:
    """The scores on PublicTest."""
    card = find_model(DEFAULT).card
    labels = _scores(card, "fer2013")
    fresh, voted = labels["deduplicated"], _scores(card, "votes")["votes"]
    rows = [
        f"FER2013's labels, {SPLIT}, one forward pass:",
        "",
        "| | all | without Training's duplicates |",
        "|---|---|---|",
    ]
    rows.append(f"| faces | {labels['n']:,} | {fresh['n']:,} |")
    rows.append(f"| accuracy | {_interval(labels)} | {_interval(fresh)} |")
    for key, name in (
        ("macro_f1", "macro F1"),
        ("balanced_accuracy", "balanced accuracy"),
        ("top2_accuracy", "top-2 accuracy"),
    ):
        rows.append(f"| {name} | {labels[key]:.1%} | {fresh[key]:.1%} |")
    for key, name in (("nll", "negative log-likelihood"), ("ece", "ECE, temperature in place")):
        rows.append(f"| {name} | {labels[key]:.3f} | {fresh[key]:.3f} |")
    rows += ["", "| class | precision | recall | F1 | faces |", "|---|---|---|---|---|"]
    for name, row in labels["per_class"].items():
        rows.append(
            f"| {name} | {row['precision']:.1%} | {row['recall']:.1%} | {row['f1']:.1%} | {row['support']} |"
        )
    rows += ["", _confusions(labels["confusion"]), ""]
    rows += [
        f"FER+ votes, the {voted['n']:,} faces of {SPLIT} whose ten voters have a majority: accuracy {_interval(voted)}, "
        f"macro F1 {voted['macro_f1']:.1%}; mean KL(voters to answer) {voted['kl']:.3f} nats, "
        f"{voted['kl_reduction']:.0%} below the {voted['kl_baseline']:.3f} of the best smoothed one-hot of the same answers."
    ]
    return "\n".join(rows)


def calibration() -> str:
    """Temperature, ECE and conformal sets by head."""
    found = find_model(DEFAULT).card.figures[SPLIT]["calibration"]
    rows = [
        "| head | against | temperature | ECE before | after | chance | faces measured |",
        "|---|---|---|---|---|---|---|",
    ]
    against = {"fer2013": "labels", "votes": "voters' shares"}
    for head, fit in found.items():
        rows.append(
            f"| `{head}` | {against[head]} | {fit['temperature']:.3f} | {fit['ece_before']:.3f} | {fit['ece_after']:.3f} "
            f"| {fit['ece_noise']:.3f} | {fit['n_measured']:,} |"
        )
    rows += ["", "| head | `Face.set(coverage)` | holds the truth | mean size |", "|---|---|---|---|"]
    for head, fit in found.items():
        for row in fit["conformal"]:
            rows.append(
                f"| `{head}` | {row['coverage']:.2f} | {row['measured_coverage']:.1%} | {row['mean_size']:.2f} |"
            )
    return "\n".join(rows)


def keys() -> str:
    """Every key of a recipe."""
    rows = ["| key | default | what it does |", "|---|---|---|"]
    for section in dataclasses.fields(Recipe):
        value = getattr(Recipe(), section.name)
        if dataclasses.is_dataclass(value):
            for entry in dataclasses.fields(value):
                default = getattr(value, entry.name)
                shown = list(default) if isinstance(default, tuple) else default
                rows.append(f"| `{section.name}.{entry.name}` | `{shown}` | {entry.metadata['meaning']} |")
    return "\n".join(rows)


SECTIONS = {
    "keys": keys,
    "overview": overview,
    "facts": facts,
    "figures": figures,
    "calibration": calibration,
}


def _scores(card: Card, head: str) -> dict[str, Any]:
    scores: dict[str, Any] = card.figures[SPLIT][head]
    return scores


def _interval(scores: dict[str, Any]) -> str:
    low, high = scores["accuracy_ci95"]
    return f"{scores['accuracy']:.1%} ({low * 100:.1f} to {high * 100:.1f})"


def _where(training: dict[str, Any]) -> str:
    hardware = training["hardware"]
    machine = hardware["processor"] if hardware["device"] == "cpu" else hardware["device"]
    return (
        f"recipe `{training['recipe']['name']}` on {hardware['cores']} cores of an {machine}, "
        f"commit `{(training['commit'] or 'unknown')[:10]}`"
    )


def _confusions(confusion: dict[str, Any]) -> str:
    labels, counts = confusion["labels"], confusion["counts"]
    pairs = sorted(
        (
            (count / sum(row), truth, labels[j])
            for truth, row in zip(labels, counts, strict=True)
            for j, count in enumerate(row)
            if labels[j] != truth and sum(row)
        ),
        reverse=True,
    )
    return (
        "Most often taken for another: " + "; ".join(f"{t} for {p} ({s:.0%})" for s, t, p in pairs[:6]) + "."
    )


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
