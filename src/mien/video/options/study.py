"""How the tables of a study are computed."""

from __future__ import annotations

from dataclasses import dataclass

from mien.errors import UsageError

# The names of `mien.video.study.exports.EXPORTS`.
EXPORTS = ("elan", "boris", "observer", "bids", "long")


@dataclass(frozen=True)
class StudyOptions:
    """How the tables of a study are computed.

    Attributes:
        bin_s: length of an interval.
        threshold: an event begins where a probability (with a baseline, its change from rest) reaches it.
        hysteresis: an event ends where it falls below the threshold less this.
        baseline_s: from when to when a person is at rest, since the clip's beginning; None for no baseline.
        exports: of `EXPORTS`.
        min_duration_s: who is seen for less in a clip, corrections included, is in no table.

    Raises:
        UsageError: a value is out of range.
    """

    bin_s: float = 1.0
    threshold: float = 0.5
    hysteresis: float = 0.1
    baseline_s: tuple[float, float] | None = None
    exports: tuple[str, ...] = ()
    min_duration_s: float = 0.0

    def __post_init__(self) -> None:
        if self.bin_s <= 0:
            raise UsageError(f"--bin must be longer than 0 s, not {self.bin_s:g} s.")
        if not 0 <= self.hysteresis < self.threshold <= 1:
            raise UsageError(
                f"--event-threshold is {self.threshold:g} and --event-hysteresis {self.hysteresis:g}: the "
                "threshold must be 1 or less, and the hysteresis smaller than the threshold."
            )
        if self.min_duration_s < 0:
            raise UsageError(f"--min-duration must be 0 s or longer, not {self.min_duration_s:g} s.")
        if unknown := [name for name in self.exports if name not in EXPORTS]:
            raise UsageError(f"--export {unknown[0]} is not known. Use {', '.join(EXPORTS)}.")
