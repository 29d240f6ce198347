"""Write the figures of the shipped models and the keys of recipes into the pages, between their markers.

So that a figure in the documentation cannot differ from the one that was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mien.models.card import Card
from mien.models.registry import ModelFile, find_model, shipped, write_hashes
from mien.runs.recipe import keys as recipe_keys

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "models.md", ROOT / "docs" / "training.md")
SPLIT = "PublicTest"

_AGAINST = {"fer2013": "labels", "votes": "voters' shares", "combined": "voters' shares"}


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
        "| model | FER2013, 7 classes, PublicTest (n) | without Training's duplicates (n) | flip and five crops "
        "| FER+ majority, 8 classes (n) | parameters | file | CPU time per face |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for model in _shipped():
        labels, votes = _scores(model.card, "fer2013"), _scores(model.card, "votes")["votes"]
        rows.append(
            f"| `{model.card.name}` | **{_interval(labels)}** ({labels['n']:,}) "
            f"| {_interval(labels['deduplicated'])} ({labels['deduplicated']['n']:,}) "
            f"| {_several(model.card)} "
            f"| {_interval(votes)} ({votes['n']:,}) "
            f"| {model.card.parameters / 1e6:.2f} M | {model.onnx.stat().st_size / 1e6:.1f} MB "
            f"| {_latency(model.card)} |"
        )
        notes.append(f"`{model.card.name}`: {_where(model.card.training)}.")
    rows += ["", "One seed each; 95 % bootstrap intervals over faces. " + " ".join(notes) + _timed()]
    return "\n".join(rows)


def facts() -> str:
    """What each model is, in numbers."""
    return _by_model(_facts, "###")


def figures() -> str:
    """The scores of each model on PublicTest."""
    return _by_model(_figures, "###")


def calibration() -> str:
    """Temperature, ECE, conformal sets and the curve of accuracy against coverage, of each model."""
    return _by_model(_calibration, "####")


def _shipped() -> list[ModelFile]:
    return [find_model(name) for name in shipped()]


def _by_model(section: Callable[[ModelFile], str], level: str) -> str:
    """The section of every shipped model, each under its name where there are several."""
    models = _shipped()
    if len(models) == 1:
        return section(models[0])
    return "\n\n".join(f"{level} `{model.card.name}`\n\n{section(model)}" for model in models)


def _facts(model: ModelFile) -> str:
    card, training = model.card, model.card.training
    export = training["export"]
    agree = ", ".join(
        f"{head.name} {export['agreement'][head.name]['max_dp']:.1g}" for head in card.network_heads
    )
    rows = [
        "| | |",
        "|---|---|",
        f"| backbone | {_backbone(card)}, faces enlarged to {card.network_size} px inside it |",
        f"| parameters, MACs per face | {card.parameters:,}, {card.macs / 1e6:.0f} M |",
        f"| file | {model.onnx.stat().st_size / 1e6:.1f} MB, SHA-256 `{card.sha256}` |",
        f"| trained | {_where(training)}, {training['seconds'] / 3600:.1f} h, epoch {training['best_epoch']} of "
        f"{training['epochs']}, seed {training['seed']} |",
        f"| ONNX against PyTorch on {SPLIT} | largest difference of a probability: {agree}; every prediction equal |",
    ]
    if found := card.latency:
        rows.append(
            f"| one face on one core | {found['cpu_ms']:.2f} ms of CPU time (mean of {found['faces']}), wall-clock "
            f"{found['least_ms']:.2f} ms at best; {found['processor']}, {found['cores']} cores, "
            f"ONNX Runtime {found['onnxruntime']} |"
        )
    rows.append(f"| licence | {card.licence} |")
    return "\n".join(rows)


def _figures(model: ModelFile) -> str:
    card = model.card
    labels = _scores(card, "fer2013")
    deduplicated, voted = labels["deduplicated"], _scores(card, "votes")["votes"]
    rows = [
        f"FER2013's labels, {SPLIT}, one forward pass:",
        "",
        "| | all | without Training's duplicates |",
        "|---|---|---|",
    ]
    rows.append(f"| faces | {labels['n']:,} | {deduplicated['n']:,} |")
    rows.append(f"| accuracy | {_interval(labels)} | {_interval(deduplicated)} |")
    if several := card.figures[SPLIT].get("tta", {}).get("fer2013"):
        rows.append(
            f"| accuracy, mean of {several['crops']} crops (five, and the same mirrored) "
            f"| {_interval(several)} | {_interval(several['deduplicated'])} |"
        )
    for key, name in (
        ("macro_f1", "macro F1"),
        ("balanced_accuracy", "balanced accuracy"),
        ("top2_accuracy", "top-2 accuracy"),
    ):
        rows.append(f"| {name} | {labels[key]:.1%} | {deduplicated[key]:.1%} |")
    for key, name in (("nll", "negative log-likelihood"), ("ece", "ECE, temperature in place")):
        rows.append(f"| {name} | {labels[key]:.3f} | {deduplicated[key]:.3f} |")
    rows += ["", "| class | precision | recall | F1 | faces |", "|---|---|---|---|---|"]
    for name, row in labels["per_class"].items():
        rows.append(
            f"| {name} | {row['precision']:.1%} | {row['recall']:.1%} | {row['f1']:.1%} | {row['support']} |"
        )
    rows += ["", _confusions(labels["confusion"]), ""]
    rows += [
        f"FER+ votes, the {voted['n']:,} faces of {SPLIT} whose ten voters have a majority: accuracy "
        f"{_interval(voted)}, macro F1 {voted['macro_f1']:.1%}; mean KL(voters to prediction) {voted['kl']:.3f} nats, "
        f"{voted['kl_reduction']:.0%} below the {voted['kl_baseline']:.3f} of the best smoothed one-hot of the same "
        "predictions."
    ]
    if both := card.figures[SPLIT].get("combination"):
        recall = ", ".join(f"{name} {share:.0%}" for name, share in both["recall"].items())
        rows += [
            "",
            f"Both heads combined, against FER2013's labels, the {both['n']:,} faces of {SPLIT} without Training's "
            f"duplicates, cross-validated over five folds: accuracy {both['accuracy']:.1%}, balanced accuracy "
            f"{both['balanced_accuracy']:.1%}, macro F1 {both['macro_f1']:.1%}. Found: {recall}.",
        ]
    return "\n".join(rows)


def _by_emotion(card: Card, head: str, fit: dict[str, Any]) -> str:
    """The share of uncertain faces by predicted emotion, most often uncertain first."""
    shares = zip(_emotions(card, head), fit["uncertainty"]["uncertain_by_class"], strict=True)
    known = sorted(((share, name) for name, share in shares if share is not None), reverse=True)
    return ", ".join(f"{name} {share:.0%}" for share, name in known)


def _emotions(card: Card, head: str) -> list[str]:
    """The classes that a head is measured on: those of the truth, in the order of the head's own emotions."""
    return [label for label in card.head(head).labels if label not in card.head(head).abstain]


def _calibration(model: ModelFile) -> str:
    figures = model.card.figures[SPLIT]
    found, crossed = figures["calibration"], figures.get("cross_validated", {})
    rows = [
        "| head | against | temperature | ECE before | after | chance | faces measured |",
        "|---|---|---|---|---|---|---|",
    ]
    for head, fit in found.items():
        rows.append(
            f"| `{head}` | {_AGAINST[head]} | {fit['temperature']:.3f} | {fit['ece_before']:.3f} "
            f"| {fit['ece_after']:.3f} | {fit['ece_noise']:.3f} | {fit['n_measured']:,} |"
        )
    if crossed:
        splits = next(iter(crossed.values()))["split_halves"]
        rows += [
            "",
            f'The same over {splits} random halves, mean ± spread; "cross-validated" measures all faces, each by the '
            'temperature of the other half; "without chance" is the root of the squared error without the part '
            "that chance adds (Kumar et al. 2019):",
            "",
            "| head | ECE of one half | chance | ECE cross-validated | chance | without chance | faces |",
            "|---|---|---|---|---|---|---|",
        ]
    for head, fit in crossed.items():
        rows.append(
            f"| `{head}` | {fit['ece_half']:.3f} ± {fit['ece_half_std']:.3f} | {fit['ece_half_noise']:.3f} "
            f"| {fit['ece']:.3f} ± {fit['ece_std']:.3f} | {fit['ece_noise']:.3f} | {fit['bias_corrected']:.3f} "
            f"| {fit['n']:,} |"
        )
    rows += [
        "",
        "| head | `Face.set(coverage)` | contains the truth | mean size | contains it, by emotion |",
        "|---|---|---|---|---|",
    ]
    for head, fit in found.items():
        names = _emotions(model.card, head)
        for row in fit["conformal"]:
            each = ", ".join(
                f"{name} {share:.0%}"
                for name, share in zip(names, row["coverage_by_class"], strict=True)
                if share is not None
            )
            rows.append(
                f"| `{head}` | {row['coverage']:.2f} | {row['measured_coverage']:.1%} | {row['mean_size']:.2f} "
                f"| {each} |"
            )
    rows += [
        "",
        "`Face.uncertain`, fitted on the same half and measured on the other:",
        "",
        "| head | margin below which a face is uncertain | uncertain | right among the rest | wrong predictions that are uncertain | uncertain where the voters had no majority |",
        "|---|---|---|---|---|---|",
    ]
    for head, fit in found.items():
        u = fit["uncertainty"]
        divided = u["uncertain_without_majority"]
        rows.append(
            f"| `{head}` | {u['margin']:.2f} | {u['uncertain']:.1%} | {u['accuracy']:.1%} | {u['errors_caught']:.1%} | "
            f"{'' if divided is None else f'{divided:.1%}'} |"
        )
    rows += [
        "",
        "By predicted emotion, the share that is uncertain: "
        + "; ".join(f"`{head}` {_by_emotion(model.card, head, fit)}" for head, fit in found.items())
        + ".",
    ]
    if "quality" in figures:
        rows += _quality(model.card, figures["quality"])
    if "coverage" in figures:
        rows += [
            "",
            f"![Accuracy of {model.card.name} on its most confident faces, by their share]"
            f"(images/coverage-{model.card.name}.svg)",
            "",
            "Accuracy if only the most confident faces get a prediction (PublicTest without Training's duplicates):",
            "",
            "| head | all faces | most confident 80 % | most confident 50 % |",
            "|---|---|---|---|",
        ]
        for head, curve in figures["coverage"].items():
            shares = " | ".join(f"{_accuracy_at(curve, share):.1%}" for share in (1, 0.8, 0.5))
            rows.append(f"| `{head}` | {shares} |")
    return "\n".join(rows)


# What is done to faces, and which side of which limit of the card it is about.
_WAYS = {
    "size": ("side reduced to (of 48 px)", "size", 0, "small"),
    "blur": ("blur, standard deviation in px of 48", "sharpness", 0, "blurred"),
    "dark": ("share of the light, noise of 2 gray values", "light", 0, "dark"),
    "bright": ("light times", "light", 1, "bright"),
    "cut off": ("share of the box cut off", "cut_off", 1, "cut off"),
}


def _quality(card: Card, found: dict[str, Any]) -> list[str]:
    """Limits of quality, and the curves behind them."""
    rows = [
        "",
        f"`Face.quality` and `Face.warnings`: {found['n']:,} faces of {SPLIT} changed by steps; accuracy of the default "
        f"prediction on FER2013's labels. A limit is where a tenth of the {found['accuracy']:.1%} of the unchanged faces "
        "is lost.",
        "",
        "| what is done | accuracy by step | limit | warning |",
        "|---|---|---|---|",
    ]
    for way, (done, name, side, word) in _WAYS.items():
        curve = found["curves"][way]
        steps = ", ".join(
            f"{step:g}: {accuracy:.0%}"
            for step, accuracy in zip(curve["steps"], curve["accuracy"], strict=True)
        )
        limit = card.limits[name][side]
        shown = "none" if limit is None else f"`{name}` {'below' if side == 0 else 'above'} {limit:.3g}"
        rows.append(f"| {done} | {steps} | {shown} | {word} |")
    turns = []
    for name in ("yaw", "pitch"):
        beyond, limit = found["turned"][name], card.limits[name][1]
        turns.append(
            f"{name}: no limit found"
            if limit is None
            else f"{name} above {limit:.0f} degrees: {beyond['accuracy']:.0%} of {beyond['n']:.0f} faces are right"
        )
    flagged = ", ".join(f"{word} {share:.1%}" for word, share in found["flagged"].items())
    rows += [
        "",
        f"Turned heads, by what the detector sees of {found['n_found']:,} unchanged faces: {'; '.join(turns)}. "
        f"Warnings on these unchanged faces: {flagged}.",
    ]
    return rows


def keys() -> str:
    """Every key of a recipe."""
    rows = ["| key | default | what it does |", "|---|---|---|"]
    for entry in recipe_keys():
        if entry.section:
            shown = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            rows.append(f"| `{entry.path}` | `{shown}` | {entry.meaning} |")
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


def _accuracy_at(curve: dict[str, Any], coverage: float) -> float:
    """Accuracy on that share of the faces, by the nearest point of the curve."""
    return float(
        min(zip(curve["coverage"], curve["accuracy"], strict=True), key=lambda p: abs(p[0] - coverage))[1]
    )


def _several(card: Card) -> str:
    found = card.figures[SPLIT].get("tta", {}).get("fer2013")
    return _interval(found) if found else "not measured"


def _latency(card: Card) -> str:
    return f"{card.latency['cpu_ms']:.1f} ms" if card.latency else "not measured"


def _timed() -> str:
    """The machines of the latencies."""
    machines = dict.fromkeys(
        f"{card.latency['processor']}, {card.latency['cores']} cores"
        for card in (model.card for model in _shipped())
        if card.latency
    )
    return f" CPU time: one face at a time on one core; {'; '.join(machines)}." if machines else ""


def _backbone(card: Card) -> str:
    network = card.training["recipe"]["network"]
    scaled = [
        f"{name} x {network[key]:g}"
        for key, name in (("width", "width"), ("depth", "depth"))
        if network.get(key, 1) != 1
    ]
    return f"`{card.backbone}`" + (f", {', '.join(scaled)}" if scaled else "")


def _interval(scores: dict[str, Any]) -> str:
    low, high = scores["accuracy_ci95"]
    return f"{scores['accuracy']:.1%} ({low * 100:.1f} to {high * 100:.1f})"


def _where(training: dict[str, Any]) -> str:
    hardware = training["hardware"]
    machine = hardware["processor"] if hardware["device"] == "cpu" else hardware["device"]
    commit, _, changes = (training["commit"] or "unknown").partition("+")
    return (
        f"recipe `{training['recipe']['name']}` on {hardware['cores']} cores of an {machine}, "
        f"commit `{commit[:10]}`" + (" with uncommitted changes (docs/log.md)" if changes else "")
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
        "Most frequent confusions, as shares of the true class: "
        + "; ".join(f"{t} predicted as {p} ({s:.0%})" for s, t, p in pairs[:6])
        + "."
    )


def draw_coverage(model: ModelFile, path: Path) -> None:
    """The curve of accuracy against coverage in a model's card, as SVG, the same bytes for the same card."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    curves = model.card.figures[SPLIT]["coverage"]
    # Colours that people with any colour vision tell apart. Source: Okabe & Ito 2008, "Color Universal Design".
    styles = {
        "fer2013": ("#0072B2", "-", "FER2013's labels"),
        "votes": ("#D55E00", "--", "majority of ten voters"),
        "combined": ("#009E73", "-.", "both heads, majority of ten voters"),
    }
    with mpl.rc_context({"svg.hashsalt": "mien", "font.size": 10}):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for head, curve in curves.items():
            colour, line, name = styles[head]
            # The first points are of too few faces.
            x, y = ([100 * value for value in curve[key]][4:] for key in ("coverage", "accuracy"))
            axes.plot(x, y, line, color=colour, linewidth=2, label=f"{name} (n = {curve['n']:,})")
            axes.annotate(
                f"{y[-1]:.1f} %",
                (x[-1], y[-1]),
                (4, 0),
                textcoords="offset points",
                color=colour,
                va="center",
            )
        axes.set_xlim(0, 113)
        axes.set_ylim(min(60.0, axes.get_ylim()[0]), 100.5)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("share of the faces that get a prediction, the most confident first (%)")
        axes.set_ylabel("correct predictions (%)")
        axes.set_title(f"{model.card.name}, {SPLIT} without Training's duplicates", fontsize=10, loc="left")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower left", frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    write_hashes()
    for each in _shipped():
        if "coverage" in each.card.figures[SPLIT]:
            draw_coverage(each, ROOT / "docs" / "images" / f"coverage-{each.card.name}.svg")
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
