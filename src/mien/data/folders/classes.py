"""Names of classes to labels, with contempt kept or dropped."""

from __future__ import annotations

from typing import Literal, TypeAlias

from mien.emotions import FER2013, FERPLUS, canonical
from mien.errors import UnknownEmotion

Contempt: TypeAlias = Literal["drop", "keep"]
DROPPED = -2
UNKNOWN = -3


def label_of(name: str, contempt: Contempt) -> int:
    """The label of a class as its data set names it; DROPPED for contempt that is not kept, else UNKNOWN."""
    try:
        emotion = canonical(name)
    except UnknownEmotion:
        return UNKNOWN
    if emotion not in FERPLUS:
        return UNKNOWN
    if emotion not in FER2013 and contempt == "drop":
        return DROPPED
    return FERPLUS.index(emotion)


def classes_for(highest: int) -> tuple[str, ...]:
    """FER2013's seven, or FER+'s eight where a label needs them."""
    return FERPLUS if highest >= len(FER2013) else FER2013
