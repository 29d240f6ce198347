"""What the names of folders mean: emotions by any of their names, or by a data set's own label map."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from mien.emotions import FER2013, FERPLUS, canonical, class_name
from mien.errors import FormatError, UnknownEmotion, UsageError
from mien.files import kind_of_path, read_csv

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
LabelMap: TypeAlias = Mapping[str, str]


class OwnClasses(dict[str, str]):
    """A label map to classes of any name; if it is empty, each folder or label is a class of its own name."""

    def __bool__(self) -> bool:
        return True


# The name of the map without entries.
OWN = "own"

NO_MAP: LabelMap = MappingProxyType({})
DROPPED = -2
UNKNOWN = -3


def label_of(name: str, contempt: Contempt) -> int:
    """The label of a class by its name in a data set; DROPPED for contempt if it is dropped, else UNKNOWN."""
    try:
        emotion = canonical(name)
    except UnknownEmotion:
        return UNKNOWN
    if emotion not in FERPLUS:
        return UNKNOWN
    if emotion not in FER2013 and contempt == "drop":
        return DROPPED
    return FERPLUS.index(emotion)


def label_maps() -> list[str]:
    """The names of the shipped maps."""
    return [*sorted(_SHIPPED), OWN]


def label_map(name: str | Path) -> LabelMap:
    """A shipped map (``"raf-db"``, ``"affectnet"``, ``"ck+"``, ``"own"``), or that of a CSV.

    A CSV has the columns folder,emotion; or folder,class, for classes of any names. ``"own"`` takes the names
    of the folders, or of the labels of a table of files, for the classes.

    Keys are folder names as `folder_key` writes them; values are mien's names of emotions.

    Raises:
        UsageError: neither a shipped name nor a file.
        FormatError: the file has other columns, a folder twice, or an emotion that mien does not know.
    """
    if (numbered := _SHIPPED.get(str(name).lower())) is not None:
        return {str(number): emotion for number, emotion in enumerate(numbered) if emotion}
    if str(name).lower() == OWN:
        return OwnClasses()
    path = Path(name)
    if kind_of_path(path, UsageError) != "file":
        raise UsageError(
            f"there is no label map {str(name)!r}. Shipped maps: {', '.join(label_maps())}. Or give a CSV "
            "with the columns folder,emotion, or folder,class for classes that are no emotions."
        )
    return _read(path)


def folder_key(name: str) -> str:
    """The key of a folder in a label map: lower case, no space around it, no leading zeros of a number."""
    key = name.strip().lower()
    return str(int(key)) if key.isascii() and key.isdigit() else key


def label_in(name: str, contempt: Contempt, mapping: LabelMap) -> int:
    """The label of a folder, or of a label as text; DROPPED or UNKNOWN as `label_of` gives them."""
    return label_of(mapping.get(folder_key(name), name), contempt)


def own_class(name: str, mapping: LabelMap) -> str | None:
    """The class of one's own of a folder, or of a label as text; None if the map has only others."""
    return mapping.get(folder_key(name)) if len(mapping) else name


def _read(path: Path) -> LabelMap:
    try:
        rows = read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read as CSV: {error}.") from error
    own = bool(rows) and "class" in rows[0]
    emotions: dict[str, str] = OwnClasses() if own else {}
    for line, row in enumerate(rows, 2):
        folder, emotion = row.get("folder"), row.get("class" if own else "emotion")
        if not folder or not emotion:
            raise FormatError(
                f"{path}, line {line}: a label map needs the columns folder,emotion or folder,class "
                "in each line."
            )
        if (key := folder_key(folder)) in emotions:
            raise FormatError(f"{path}, line {line}: folder {folder!r} is listed twice.")
        if own:
            emotions[key] = class_name(emotion)
            continue
        try:
            emotions[key] = canonical(emotion)
        except UnknownEmotion as error:
            raise FormatError(f"{path}, line {line}: {error}") from error
    if not len(emotions):
        raise FormatError(
            f"{path} is empty: a label map needs the columns folder,emotion and at least one line."
        )
    return emotions
