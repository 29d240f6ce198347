"""Progress of long work, reported to a function of the caller's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# Called with what is at work, how much is done, and how much there is.
Progress: TypeAlias = Callable[[str, int, int], None]


def counter(progress: Progress | None, what: str, total: int) -> Callable[[int], None]:
    """A function that is called with an amount of work done, and reports the sum to `progress`, if given."""
    done = 0

    def advance(amount: int) -> None:
        nonlocal done
        done += amount
        if progress is not None:
            progress(what, done, total)

    return advance


def duration(seconds: float) -> str:
    """Seconds for people: ``"45 s"``, ``"12 min"``, ``"3 h 05 min"``."""
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
