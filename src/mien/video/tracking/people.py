"""Gives people who return their number back, by what they look like.

It compares the faces of the given clips with each other and with nothing else: it knows no names, and no
face from anywhere else. How often it confuses two people, or takes one for two, is in docs/video.md.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from mien.video.tracking.portrait import Portrait, alike, likeness, portrait_from

# A portrait is kept of somebody if none before is so like it, and so many at most, the newest.
_NEW_VIEW, _MOST_VIEWS = 0.6, 12
# Somebody is who they are most like, if they are so like them, and so much more than like anybody else.
SAME_LIKENESS, _CLEARLY = 2.0, 0.5


class People:
    """Everybody who was seen, with a few portraits each; shared by clips, it numbers people across them.

    Args:
        recognize: give people who return their number back; otherwise everybody who appears is new.
    """

    def __init__(self, *, recognize: bool = True) -> None:
        self.recognize = recognize
        self._count = 0
        self._views: dict[int, list[Portrait]] = {}

    def new(self) -> int:
        """The next number, from 1."""
        self._count += 1
        return self._count

    def learn(self, person: int, portrait: Portrait) -> None:
        """Keep a portrait of a person, if it shows them in a new way."""
        views = self._views.setdefault(person, [])
        if all(alike(view, portrait) < _NEW_VIEW for view in reversed(views)):  # the newest is likeliest
            views.append(portrait)
            del views[:-_MOST_VIEWS]

    def others(self, present: Collection[int]) -> bool:
        """Whether anybody who is not present might return."""
        return self.recognize and any(person not in present for person in self._views)

    def find(self, portraits: Iterable[Portrait], present: Collection[int]) -> int | None:
        """Who, of those that are not present, somebody with these portraits is; None for somebody new."""
        if not self.recognize:
            return None
        looks = list(portraits)
        scores = {
            person: max((likeness(look, view) for look in looks for view in views), default=-np.inf)
            for person, views in self._views.items()
            if person not in present
        }
        ranked = sorted(scores, key=lambda person: -scores[person])
        if not ranked or scores[ranked[0]] < SAME_LIKENESS:
            return None
        if len(ranked) > 1 and scores[ranked[0]] < scores[ranked[1]] + _CLEARLY:
            return None
        return ranked[0]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON, for a run that may be interrupted."""
        views = {
            str(person): [b64encode(view.raw.tobytes()).decode("ascii") for view in views]
            for person, views in self._views.items()
        }
        return {"count": self._count, "views": views}

    def restore(self, values: dict[str, Any]) -> None:
        """Know again whom `to_dict` gave these values of."""
        self._count = values["count"]
        self._views = {
            int(person): [portrait_from(np.frombuffer(b64decode(raw), np.uint8)) for raw in kept]
            for person, kept in values["views"].items()
        }
