"""A tree with one folder a class into the table: FER2013's folder release, CK+, RAF-DB, AffectNet."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013.reader import cores
from mien.data.folders.labels import (
    DROPPED,
    NO_MAP,
    UNKNOWN,
    Contempt,
    LabelMap,
    classes_for,
    folder_key,
    label_of,
)
from mien.data.folders.splits import WHOLE, is_split, split_name
from mien.data.table import BadRow, FaceTable
from mien.errors import FormatError, ImageError
from mien.images.gray import gray_face

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What systems leave in folders unasked.
_LITTER = ("thumbs.db", "desktop.ini", "__macosx")
_BATCH = 256
# KA.AN1.39.tiff: subject, emotion and take, number. Source: JAFFE (Lyons et al. 1998), README.
_JAFFE = re.compile(r"^[A-Z]{2}\.(AN|DI|FE|HA|SA|SU|NE)\d+\.\d+\.", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A file of the tree: the names on the way to it, and how to read it."""

    parts: tuple[str, ...]
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path below the root."""
        return "/".join(self.parts)


@dataclass(frozen=True)
class _Placed:
    """A picture whose folders name a class."""

    picture: Picture
    label: int
    split: str


def pictures_in_folder(root: Path) -> list[Picture]:
    """Every file below a folder that could be a picture or should be named, in order of path."""
    found: list[Picture] = []
    seen: set[tuple[int, int]] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back to a folder above
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = [name for name in below if not _is_litter(name)]
        above = Path(folder).relative_to(root).parts
        found += [
            Picture((*above, name), Path(folder, name).read_bytes) for name in files if not _is_litter(name)
        ]
    return sorted(found, key=lambda picture: picture.parts)


def pictures_in_zip(archive: zipfile.ZipFile) -> list[Picture]:
    """The same of an open zip."""
    found = []
    for entry in archive.infolist():
        parts = tuple(entry.filename.split("/"))
        if not entry.is_dir() and not any(_is_litter(part) for part in parts):
            found.append(Picture(parts, lambda entry=entry: archive.read(entry)))  # type: ignore[misc]
    return sorted(found, key=lambda picture: picture.parts)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def read_tree(
    pictures: Sequence[Picture], source: str, size: int, contempt: Contempt, mapping: LabelMap = NO_MAP
) -> FaceTable:
    """The faces of a tree, gray and `size` pixels wide, in order of path.

    The first folder on the way whose name is an emotion is the class, the one above it the split ("all"
    where there is none). Without such a folder, a file named as JAFFE names them (KA.AN1.39.tiff) tells its
    class itself. `mapping` says what folders that are named otherwise mean; they come before all other names.
    `rows` number the pictures, refused ones included; they are not FER2013's rows.

    Raises:
        FormatError: no folder is named after an emotion, or no picture can be read.
    """
    pictures = _without_wrapper(pictures, mapping)
    placed, problems = _place(pictures, source, contempt, mapping)
    kept = [item for item in placed if item.label != DROPPED]
    pixels, broken = _decode([item.picture for item in kept], size)
    good = np.array([row not in broken for row in range(len(kept))], dtype=bool)
    problems += [BadRow(kept[row].picture.name, reason) for row, reason in broken.items()]
    if not good.any():
        first = f" The first problem: {problems[0].where}: {problems[0].reason}." if problems else ""
        raise FormatError(f"{source} holds no picture that can be used.{first}")
    labels = np.array([item.label for item in kept], dtype=np.int64)[good]
    dropped = len(placed) - len(kept)
    return FaceTable(
        pixels=pixels[good],
        labels=labels,
        splits=np.array([item.split for item in kept])[good],
        rows=np.flatnonzero(good).astype(np.int64),
        classes=classes_for(int(labels.max())),
        names=np.array([item.picture.name for item in kept])[good],
        source=f"{source} ({dropped:,} faces of contempt left out)" if dropped else source,
        problems=tuple(sorted(problems, key=lambda problem: problem.where)),
    )


def _without_wrapper(pictures: Sequence[Picture], mapping: LabelMap) -> Sequence[Picture]:
    """Pictures without folders that hold all of them and say nothing, as an archive's own name."""
    while pictures and len(pictures[0].parts) > 2:
        top = pictures[0].parts[0]
        said = is_split(top) or _label_of(top, "keep", mapping) != UNKNOWN
        if said or any(picture.parts[0] != top for picture in pictures):
            break
        pictures = [Picture(picture.parts[1:], picture.read) for picture in pictures]
    return pictures


def _label_of(folder: str, contempt: Contempt, mapping: LabelMap) -> int:
    return label_of(mapping.get(folder_key(folder), folder), contempt)


def _place(
    pictures: Sequence[Picture], source: str, contempt: Contempt, mapping: LabelMap
) -> tuple[list[_Placed], list[BadRow]]:
    placed: list[_Placed] = []
    problems: list[BadRow] = []
    strange: Counter[str] = Counter()
    for picture in pictures:
        *folders, name = picture.parts
        if not name.lower().endswith(_SUFFIXES):
            problems.append(BadRow(picture.name, "not a picture by its name"))
            continue
        labels = [_label_of(folder, contempt, mapping) for folder in folders]
        depth = next((place for place, label in enumerate(labels) if label != UNKNOWN), None)
        if depth is None and (told := _JAFFE.match(name)):
            split = folders[-1] if folders and is_split(folders[-1]) else ""
            placed.append(
                _Placed(picture, label_of(told[1], contempt), split_name(split) if split else WHOLE)
            )
        elif depth is None:
            strange["/".join(folders) or "."] += 1
        else:
            split = split_name(folders[depth - 1]) if depth else WHOLE
            placed.append(_Placed(picture, labels[depth], split))
    if not placed:
        raise FormatError(_no_classes(source, strange))
    problems += [
        BadRow(folder, f"no emotion that mien knows; {count:,} pictures left out")
        for folder, count in strange.items()
    ]
    return placed, problems


def _no_classes(source: str, strange: Counter[str]) -> str:
    folders = ", ".join(sorted(strange)[:8]) or "none with pictures"
    message = (
        f"{source} has no folder named after an emotion (angry, happiness, ...). Its folders: {folders}."
    )
    if strange and all(folder.rpartition("/")[2].isdigit() for folder in strange):
        message += (
            " Numbers mean something else in each data set, so say which it is by a label map: raf-db (1-7 "
            "are surprise, fear, disgust, happiness, sadness, anger, neutral), affectnet (0-7 are neutral, "
            "happiness, sadness, surprise, fear, disgust, anger, contempt), ck+, or a CSV with the columns "
            "folder,emotion. mien train takes it as --label-map. Or name the folders."
        )
    return message


def _decode(pictures: Sequence[Picture], size: int) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Pixels uint8 (n, size, size), and why some rows of them are empty."""
    pixels = np.zeros((len(pictures), size, size), np.uint8)

    def decode(start: int) -> dict[int, str]:
        broken = {}
        for row, picture in enumerate(pictures[start : start + _BATCH], start):
            try:
                pixels[row] = gray_face(picture.read(), size)
            except ImageError as error:
                broken[row] = str(error)
            except (OSError, zipfile.BadZipFile) as error:
                broken[row] = f"cannot be read: {error}"
        return broken

    with ThreadPoolExecutor(cores(), thread_name_prefix="mien-pictures") as pool:
        batches = pool.map(decode, range(0, len(pictures), _BATCH))
        return pixels, {row: reason for batch in batches for row, reason in batch.items()}
