"""What folders that are named in a data set's own way mean: numbers to emotions, or any name to one."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from mien.emotions import FER2013, FERPLUS, canonical
from mien.errors import FormatError, SourceNotFound, UnknownEmotion, UsageError

# The emotion of each number from 0 on. Sources: the data sets' own documents. RAF-DB: "1: Surprise, 2: Fear,
# 3: Disgust, 4: Happiness, 5: Sadness, 6: Anger, 7: Neutral". AffectNet: "0: Neutral, 1: Happiness,
# 2: Sadness, 3: Surprise, 4: Fear, 5: Disgust, 6: Anger, 7: Contempt". CK+: "0=neutral, 1=anger, 2=contempt,
# 3=disgust, 4=fear, 5=happy, 6=sadness, 7=surprise".
_SHIPPED: dict[str, tuple[str, ...]] = {
    "raf-db": ("", "surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"),
    "affectnet": ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"),
    "ck+": ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise"),
}

Contempt: TypeAlias = Literal["drop", "keep"]
DROPPED = -2
UNKNOWN = -3

LabelMap: TypeAlias = Mapping[str, str]
NO_MAP: LabelMap = MappingProxyType({})


def label_maps() -> list[str]:
    """Names of the maps that ship."""
    return sorted(_SHIPPED)


def label_map(name: str | Path) -> LabelMap:
    """The map of a shipped name (``"raf-db"``, ``"affectnet"``, ``"ck+"``) or of a CSV with folder,emotion.

    Keys are as `folder_key` writes a folder's name; values are mien's names of emotions.

    Raises:
        UsageError: neither a shipped name nor a file.
        FormatError: the file has other columns, a folder twice, or an emotion that mien does not know.
    """
    if (numbered := _SHIPPED.get(str(name).lower())) is not None:
        return {str(number): emotion for number, emotion in enumerate(numbered) if emotion}
    path = Path(name)
    if not path.is_file():
        raise UsageError(
            f"there is no label map {str(name)!r}. Shipped: {', '.join(label_maps())}; or give a CSV with "
            "the columns folder,emotion."
        )
    return _read(path)


def folder_key(name: str) -> str:
    """A folder's name as maps know it: without case and space around it, numbers without leading zeros."""
    key = name.strip().lower()
    return str(int(key)) if key.isascii() and key.isdigit() else key


def _read(path: Path) -> LabelMap:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise SourceNotFound(f"{path} does not exist.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} is no CSV: {error}.") from error
    found: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        folder, emotion = row.get("folder"), row.get("emotion")
        if not folder or not emotion:
            raise FormatError(
                f"{path}, line {line}: a label map needs the columns folder,emotion in each line."
            )
        key = folder_key(folder)
        if key in found:
            raise FormatError(f"{path}, line {line}: folder {folder!r} stands there twice.")
        try:
            found[key] = canonical(emotion)
        except UnknownEmotion as error:
            raise FormatError(f"{path}, line {line}: {error}") from error
    if not found:
        raise FormatError(
            f"{path} is empty: a label map needs the columns folder,emotion and a line at least."
        )
    return found


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
