"""Whether what a card says of a model comes out again when it is measured anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_INTERVAL = "_ci95"


@dataclass(frozen=True)
class Check:
    """One figure of a card beside the one that was measured now.

    Attributes:
        figure: where it stands in the scores, such as ``"deduplicated.macro_f1"``.
        card: the card's value; None where the card has none.
        interval: the card's 95 % interval; None where it has none.
        measured: the value now; None where these faces do not allow to measure it.
    """

    figure: str
    card: float | None
    interval: tuple[float, float] | None
    measured: float | None

    @property
    def holds(self) -> bool:
        """Whether the value lies within the interval of the card, and so does the card's own value."""
        if self.interval is None or self.card is None or self.measured is None:
            return False
        low, high = self.interval
        return low <= self.measured <= high and low <= self.card <= high


def check_figures(card: Mapping[str, Any], measured: Mapping[str, Any]) -> list[Check]:
    """A check of every figure that has an interval, in the card's scores of one head and split or in ours.

    Both are the scores as `mien.evaluation.result.Evaluation.to_dict` gives them. A figure that only one of
    them has is a check, too; what to make of it is for the caller to say.
    """
    claimed, found = dict(_with_intervals(card)), dict(_with_intervals(measured))
    return [
        Check(
            figure,
            claimed[figure][0] if figure in claimed else None,
            claimed[figure][1] if figure in claimed else None,
            found[figure][0] if figure in found else None,
        )
        for figure in dict.fromkeys([*claimed, *found])
    ]


def _with_intervals(
    scores: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, tuple[float, tuple[float, float]]]]:
    """Each figure that has an interval beside it: its path, value and interval."""
    for key, value in scores.items():
        if isinstance(value, Mapping):
            yield from _with_intervals(value, f"{path}{key}.")
        elif key.endswith(_INTERVAL):
            name = key.removesuffix(_INTERVAL)
            yield path + name, (float(scores[name]), (float(value[0]), float(value[1])))
