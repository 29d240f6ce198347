"""The names of splits in data sets, and in the table."""

from __future__ import annotations

from collections.abc import Iterable

# Kaggle's folder release of FER2013 mixes PublicTest and PrivateTest in `test`, so that name stays as it is:
# either name would be a guess. FER+'s own generator writes FER2013Train, FER2013Valid, FER2013Test.
_NAMES = {
    "train": "Training",
    "training": "Training",
    "fer2013train": "Training",
    "publictest": "PublicTest",
    "fer2013valid": "PublicTest",
    "privatetest": "PrivateTest",
    "fer2013test": "PrivateTest",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}

# The split of images that are in no folder but their class's.
WHOLE = "all"


def split_name(name: str) -> str:
    """The table's name for a split: ``"train"`` gives ``"Training"``; an unknown name stays as it is."""
    return _NAMES.get(_key(name), name)


def find_split(name: str, existing: Iterable[str]) -> str | None:
    """The one of the `existing` splits that a name means: itself, or a synonym of it in any case.

    >>> find_split("train", ["Training", "test"])
    'Training'
    """
    existing = list(existing)
    if name in existing:
        return name
    wanted = _key(split_name(name))
    return next((each for each in existing if _key(split_name(each)) == wanted), None)


def is_split(name: str) -> bool:
    """Whether data sets use the name for a split."""
    return _key(name) in _NAMES


def _key(name: str) -> str:
    return name.strip().lower().replace("_", "").replace("-", "")
