"""Published results on FER2013 beside those of mien, each with its protocol."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from mien.evaluation.predictions import Predictions
from mien.models.card import Card
from mien.models.registry import find_model, shipped
from mien.plotting import COLOURS, QUIET, percent, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Characters of a line beside the marks; a row has room for two.
_LINE = 50
_FILE = Path(__file__).parent / "leaderboard.toml"
_HEAD = "fer2013"
# Faces of each of FER2013's two splits that are not for training.
_SPLIT_FACES = 3589
# Cards have four digits.
_SAME = 1e-3

# Kind of a result to its mark, its colour and its name in the legend.
_KINDS: dict[str, tuple[str, str, str]] = {
    "here": ("*", COLOURS[3], "the model of this page"),
    "ours": ("D", COLOURS[1], "mien, from the model's card"),
    "blind": ("o", COLOURS[0], "split not used to select the model, as far as is known"),
    "selected": ("s", COLOURS[4], "checkpoint selected on PrivateTest"),
    "unknown": ("v", COLOURS[5], "protocol not stated"),
    "not reproduced": ("X", QUIET, "not reproduced by others"),
    "people": ("P", COLOURS[2], "people"),
}


@dataclass(frozen=True)
class LeaderboardEntry:
    """One result on FER2013's seven classes.

    Attributes:
        name: of the model.
        accuracy: 0 to 1.
        split: that it was measured on.
        low, high: the spread if one is stated: of people, or our bootstrap interval; else None.
        kind: ``"blind"``, ``"selected"``, ``"unknown"``, ``"not reproduced"``, ``"people"``, ``"ours"`` or
            ``"here"``, the model that a page is about.
        protocol: how it was measured, for people.
        source: where the result is published.
    """

    name: str
    accuracy: float
    split: str
    kind: str
    protocol: str
    source: str
    low: float | None = None
    high: float | None = None


def published_results() -> tuple[LeaderboardEntry, ...]:
    """The results of others, as they are published."""
    with _FILE.open("rb") as file:
        return tuple(LeaderboardEntry(**entry) for entry in tomllib.load(file)["entry"])


def results_of_card(card: Card) -> tuple[LeaderboardEntry, ...]:
    """The results on a model's card for FER2013's labels: one entry per split, without and with ten crops."""
    chosen_on = card.training.get("recipe", {}).get("data", {}).get("validation")
    found = []
    for split, by_head in card.figures.items():
        chosen = "; epoch selected on this split" if chosen_on == split else ""
        ways = (("one forward pass", by_head), ("mean of ten crops", by_head.get("tta", {})))
        for way, scores in ways:
            if not (mine := scores.get(_HEAD)):
                continue
            low, high = mine.get("accuracy_ci95") or (None, None)
            found.append(
                LeaderboardEntry(
                    name=f"{card.name}{'' if way == 'one forward pass' else ', ten crops'}",
                    accuracy=mine["accuracy"],
                    split=split,
                    kind="ours",
                    protocol=f"{card.parameters / 1e6:.1f} M parameters, {way}{chosen}",
                    source=f"card of {card.name}",
                    low=low,
                    high=high,
                )
            )
    return tuple(found)


def result_of_predictions(
    predictions: Predictions, interval: tuple[float, float], *, selected_on: str = ""
) -> LeaderboardEntry:
    """The result of the model that a page is about.

    `interval` is that of its accuracy; `selected_on` is the split that chose its epoch, if it is known.
    """
    p, n = predictions, len(predictions.truth)
    accuracy = float((p.probabilities.argmax(axis=1) == p.truth).mean())
    # Only the number of faces says whether a split is FER2013's: nothing in a table does.
    fer2013 = p.split in ("PublicTest", "PrivateTest") and n == _SPLIT_FACES
    faces = f"{n:,} faces" if fer2013 else f"{n:,} faces of other data than FER2013's {_SPLIT_FACES:,}"
    chosen = "; epoch selected on this split" if selected_on == p.split else ""
    return LeaderboardEntry(
        name=f"{p.model} (this page)",
        accuracy=accuracy,
        split=p.split,
        kind="here",
        protocol=f"{faces}, evaluated on this page{chosen}",
        source=p.faces.source,
        low=interval[0],
        high=interval[1],
    )


def leaderboard_entries(
    cards: Sequence[Card] | None = None, here: LeaderboardEntry | None = None
) -> tuple[LeaderboardEntry, ...]:
    """The published results, those of these cards, and that of the page's model, the highest first.

    For None, the cards are those of the shipped models. A card's result that is that of the page's model is
    left out.
    """
    if cards is None:
        cards = [find_model(name).card for name in shipped()]
    ours = [entry for card in cards for entry in results_of_card(card)]
    if here is not None:
        ours = [entry for entry in ours if not _is_same(entry, here)] + [here]
    return tuple(sorted((*published_results(), *ours), key=lambda entry: -entry.accuracy))


def _is_same(entry: LeaderboardEntry, here: LeaderboardEntry) -> bool:
    same = here.name.startswith(f"{entry.name} (") and entry.split == here.split
    return same and abs(entry.accuracy - here.accuracy) < _SAME


def draw(axes: Axes, entries: Sequence[LeaderboardEntry]) -> None:
    """The entries from the highest down, each with its split and protocol."""
    for i, entry in enumerate(entries):
        mark, colour, _ = _KINDS[entry.kind]
        if entry.low is not None and entry.high is not None:
            axes.plot([entry.low, entry.high], [i, i], color=colour, lw=2.2, alpha=0.55, zorder=2)
        axes.plot(
            entry.accuracy, i, mark, color=colour, ms=15 if entry.kind == "here" else 9, mec="white", zorder=3
        )
        # At a distance in points, which the layout can allow for, as it cannot for a share of the axes.
        for text, points, size in (
            (f"{entry.accuracy:.1%}", 10, 10),
            (fill(f"{entry.split}: {entry.protocol}", _LINE), 62, 8.5),
        ):
            axes.annotate(
                text,
                (1, i),
                (points, 0),
                axes.get_yaxis_transform(),
                "offset points",
                ha="left",
                va="center",
                fontsize=size,
            )
    for kind in dict.fromkeys(_KINDS):
        if any(entry.kind == kind for entry in entries):
            mark, colour, label = _KINDS[kind]
            axes.plot([], [], mark, color=colour, ms=8, mec="white", label=label)
    axes.set_yticks(range(len(entries)), [entry.name for entry in entries])
    for tick, entry in zip(axes.get_yticklabels(), entries, strict=True):
        tick.set_fontweight("bold" if entry.kind in ("ours", "here") else "normal")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    percent(axes, "x")
    quiet(axes, grid="x")
    axes.set(title="Accuracy on FER2013, seven classes, and how it was measured")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(-0.2, -0.06), ncols=2, fontsize=9)
