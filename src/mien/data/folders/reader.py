"""A tree with one folder per class into the table: FER2013's folder release, CK+, RAF-DB, AffectNet."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.archives import check_member
from mien.data.fer2013.reader import cores
from mien.data.folders.labels import (
    DROPPED,
    NO_MAP,
    UNKNOWN,
    Contempt,
    LabelMap,
    OwnClasses,
    folder_key,
    label_in,
    label_of,
)
from mien.data.splits import WHOLE, is_split, split_name
from mien.data.table import UNLABELLED, BadRow, FaceTable, nothing_usable, without_contempt
from mien.emotions import FER2013, FERPLUS, class_name, own_classes
from mien.errors import FormatError, ImageError, ImageTooLarge
from mien.images.gray import gray_face

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Files and folders that operating systems create.
_SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx")
_BATCH = 256
# An image of one face is never larger.
_MAX_IMAGE_BYTES = 64_000_000
# KA.AN1.39.tiff: subject, emotion and take, number. Source: JAFFE (Lyons et al. 1998), README.
_JAFFE = re.compile(r"^[A-Z]{2}\.(AN|DI|FE|HA|SA|SU|NE)\d+\.\d+\.", re.IGNORECASE)
_MAX_FOLDERS_NAMED = 8


@dataclass(frozen=True)
class ImageFile:
    """A file of the tree: the names of the folders above it and its own, and how to read it."""

    parts: tuple[str, ...]
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path below the root."""
        return "/".join(self.parts)


@dataclass(frozen=True)
class LabelledFile:
    """An image file with its label, its split, and its subject if that is known."""

    file: ImageFile
    label: int
    split: str
    subject: str = ""


def files_in_folder(root: Path) -> list[ImageFile]:
    """Every file below a folder, in order of path, without hidden files and those of operating systems."""
    files: list[ImageFile] = []
    visited: set[tuple[int, int]] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in visited:  # a link back to a folder above
            below.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        below[:] = [name for name in below if not _is_ignored(name)]
        above = Path(folder).relative_to(root).parts
        files += [
            ImageFile((*above, name), Path(folder, name).read_bytes)
            for name in names
            if not _is_ignored(name)
        ]
    return sorted(files, key=lambda file: file.parts)


def files_in_zip(archive: zipfile.ZipFile) -> list[ImageFile]:
    """The same for an open zip."""
    files = []
    for entry in archive.infolist():
        parts = tuple(entry.filename.split("/"))
        check_member(entry.filename)
        if not entry.is_dir() and not any(_is_ignored(part) for part in parts):
            files.append(ImageFile(parts, lambda entry=entry: _read_entry(archive, entry)))  # type: ignore[misc]
    return sorted(files, key=lambda file: file.parts)


def is_image(file: ImageFile) -> bool:
    """Whether the file has the suffix of an image."""
    return file.parts[-1].lower().endswith(_SUFFIXES)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as content:
        data = content.read(_MAX_IMAGE_BYTES + 1)
    if len(data) > _MAX_IMAGE_BYTES:
        raise ImageTooLarge(f"has more than {_MAX_IMAGE_BYTES // 1_000_000} MB, too many for one face")
    return data


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def read_tree(
    files: Sequence[ImageFile], source: str, size: int, contempt: Contempt, mapping: LabelMap = NO_MAP
) -> FaceTable:
    """The faces of a tree, gray and `size` pixels wide, in order of path.

    The class is the first folder on the path whose name is an emotion; the split is the folder above it
    ("all" where there is none). Without such a folder, a file with a name as in JAFFE (KA.AN1.39.tiff) has
    the class of its name. `mapping` gives the meaning of folders with other names, and comes before all
    other names. `rows` number the files, refused ones included; they are not FER2013's rows.

    Raises:
        FormatError: no folder is named after an emotion, or no file can be read as an image.
    """
    files = _without_wrapper(files, mapping)
    if isinstance(mapping, OwnClasses):
        named, problems = _own_names(files, mapping)
        return table_of_own(named, source, size, problems)
    labelled, problems = _assign_labels(files, source, contempt, mapping)
    return table_of(labelled, source, size, problems)


def table_of_own(
    named: Sequence[tuple[LabelledFile, str]], source: str, size: int, problems: Sequence[BadRow]
) -> FaceTable:
    """The table of files and the names of their classes, which may be any; "" for none.

    Raises:
        FormatError: fewer than two classes, or no file can be read as an image.
    """
    classes, labels = numbered_classes([name for _, name in named], source)
    files = [replace(file, label=label) for (file, _), label in zip(named, labels, strict=True)]
    return replace(table_of(files, source, size, problems), classes=classes)


def numbered_classes(names: Sequence[str], source: str) -> tuple[tuple[str, ...], list[int]]:
    """The classes of one's own among names, "" for none, and the index of each name in them.

    Raises:
        FormatError: fewer than two.
    """
    classes = own_classes(name for name in names if name)
    if len(classes) < 2:
        raise FormatError(
            f"{source} has too few classes ({', '.join(classes) or 'none'}): two are needed. Give a folder "
            "with one folder per class, or a CSV with the columns folder,class by --label-map."
        )
    index = {name: label for label, name in enumerate(classes)}
    return classes, [index[class_name(name)] if name else UNLABELLED for name in names]


def table_of(
    labelled: Sequence[LabelledFile], source: str, size: int, problems: Sequence[BadRow]
) -> FaceTable:
    """The table of labelled files, gray and `size` pixels wide, in their order; `problems` are added to.

    Raises:
        FormatError: no file can be read as an image.
    """
    kept = [item for item in labelled if item.label != DROPPED]
    pixels, errors = _decode([item.file for item in kept], size)
    good = np.array([row not in errors for row in range(len(kept))], dtype=bool)
    problems = [*problems, *(BadRow(kept[row].file.name, reason) for row, reason in errors.items())]
    if not good.any():
        raise nothing_usable(source, "image", problems)
    labels = np.array([item.label for item in kept], dtype=np.int64)[good]
    return FaceTable(
        pixels=pixels[good],
        labels=labels,
        splits=np.array([item.split for item in kept])[good],
        rows=np.flatnonzero(good).astype(np.int64),
        classes=FERPLUS if labels.max() >= len(FER2013) else FER2013,
        names=np.array([item.file.name for item in kept])[good],
        subjects=_subjects(kept)[good] if any(item.subject for item in kept) else None,
        source=without_contempt(source, len(labelled) - len(kept)),
        problems=tuple(sorted(problems, key=lambda problem: problem.where)),
    )


def _subjects(files: Sequence[LabelledFile]) -> NDArray[np.str_]:
    """The subject of each file; a file without one is a subject of its own, named after itself."""
    return np.array([item.subject or item.file.name for item in files])


def _without_wrapper(files: Sequence[ImageFile], mapping: LabelMap) -> Sequence[ImageFile]:
    """Files without outer folders that contain all of them and mean nothing, as an archive's own name."""
    while files and len(files[0].parts) > 2:
        top = files[0].parts[0]
        has_meaning = is_split(top) or folder_key(top) in mapping or label_in(top, "keep", mapping) != UNKNOWN
        if has_meaning or any(file.parts[0] != top for file in files):
            break
        files = [ImageFile(file.parts[1:], file.read) for file in files]
    return files


def _assign_labels(
    files: Sequence[ImageFile], source: str, contempt: Contempt, mapping: LabelMap
) -> tuple[list[LabelledFile], list[BadRow]]:
    labelled: list[LabelledFile] = []
    problems: list[BadRow] = []
    unknown: Counter[str] = Counter()
    for file in files:
        *folders, name = file.parts
        if not is_image(file):
            problems.append(BadRow(file.name, "its suffix is not that of an image"))
            continue
        labels = [label_in(folder, contempt, mapping) for folder in folders]
        depth = next((depth for depth, label in enumerate(labels) if label != UNKNOWN), None)
        if depth is not None:
            split = split_name(folders[depth - 1]) if depth else WHOLE
            labelled.append(LabelledFile(file, labels[depth], split))
        elif match := _JAFFE.match(name):
            split = split_name(folders[-1]) if folders and is_split(folders[-1]) else WHOLE
            labelled.append(LabelledFile(file, label_of(match[1], contempt), split))
        else:
            unknown["/".join(folders) or "."] += 1
    check_classes(source, labelled, unknown)
    problems += [
        BadRow(folder, f"not an emotion that mien knows; {count:,} images left out", count=count)
        for folder, count in unknown.items()
    ]
    return labelled, problems


def _own_names(
    files: Sequence[ImageFile], mapping: OwnClasses
) -> tuple[list[tuple[LabelledFile, str]], list[BadRow]]:
    """The class of each image: its first folder in the map; without a map, the first that is no split."""
    named: list[tuple[LabelledFile, str]] = []
    problems: list[BadRow] = []
    unknown: Counter[str] = Counter()
    for file in files:
        folders = file.parts[:-1]
        if not is_image(file):
            problems.append(BadRow(file.name, "its suffix is not that of an image"))
            continue
        has_class = [folder_key(each) in mapping if len(mapping) else not is_split(each) for each in folders]
        if True not in has_class:
            unknown["/".join(folders) or "."] += 1
            continue
        depth = has_class.index(True)
        split = split_name(folders[depth - 1]) if depth else WHOLE
        class_ = mapping.get(folder_key(folders[depth]), folders[depth])
        named.append((LabelledFile(file, UNLABELLED, split), class_))
    problems += [
        BadRow(folder, f"in no folder of a class; {count:,} images left out", count=count)
        for folder, count in unknown.items()
    ]
    return named, problems


def check_classes(source: str, labelled: Sequence[LabelledFile], unknown: Counter[str]) -> None:
    """Refuse a source of which no name, or one name among others, is an emotion.

    Args:
        source: its name, for the message.
        labelled: the files whose folder, or label, is an emotion.
        unknown: the other folders, or labels, and how many images each has.

    Raises:
        FormatError: there are fewer than two emotions beside unknown names, or none at all.
    """
    if not labelled:
        raise FormatError(_no_classes(source, unknown))
    known = {item.label for item in labelled if item.label != UNLABELLED}
    if unknown and len(known) < 2:
        raise FormatError(_one_class(source, labelled, unknown))


def _one_class(source: str, labelled: Sequence[LabelledFile], unknown: Counter[str]) -> str:
    """The error for folders of which a single one is named after an emotion, as in another language."""
    label = max(item.label for item in labelled)
    name = {UNLABELLED: "none", DROPPED: "contempt"}.get(label, FERPLUS[label])
    return (
        f"{source}: of its folders or labels, only {name} ({len(labelled):,} images) is an emotion that mien "
        "knows. "
        f"Unknown: {_listed(unknown)}. Give the emotion of each folder in a CSV with the columns "
        "folder,emotion: --label-map FILE (mapping=label_map(FILE) in mien.load). Or rename the folders."
    )


def _listed(folders: Counter[str]) -> str:
    """The first folders with their numbers of images."""
    named = [f"{folder} ({count:,})" for folder, count in sorted(folders.items())[:_MAX_FOLDERS_NAMED]]
    return ", ".join([*named, "..."] if len(folders) > _MAX_FOLDERS_NAMED else named)


def _no_classes(source: str, unknown: Counter[str]) -> str:
    folders = ", ".join(sorted(unknown)[:_MAX_FOLDERS_NAMED]) or "none with images"
    message = (
        f"{source} has no folder or label named after an emotion (angry, happiness, ...). It has: {folders}."
    )
    if unknown and all(folder.rpartition("/")[2].isdigit() for folder in unknown):
        message += (
            " Each data set numbers its emotions in its own way. Name it by a label map: raf-db (1-7 "
            "are surprise, fear, disgust, happiness, sadness, anger, neutral), affectnet (0-7 are neutral, "
            "happiness, sadness, surprise, fear, disgust, anger, contempt), ck+, or a CSV with the columns "
            "folder,emotion. mien train takes it as --label-map. Or rename the folders."
        )
    return message


def _decode(files: Sequence[ImageFile], size: int) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Pixels uint8 (n, size, size), and for rows that cannot be read the reason."""
    pixels = np.zeros((len(files), size, size), np.uint8)

    def decode(start: int) -> dict[int, str]:
        errors = {}
        for row, file in enumerate(files[start : start + _BATCH], start):
            try:
                pixels[row] = gray_face(file.read(), size)
            except ImageError as error:
                errors[row] = str(error)
            except Exception as error:  # whatever an archive's decoder raises, it is about this file
                errors[row] = f"cannot be read: {error}"
        return errors

    with ThreadPoolExecutor(cores(), thread_name_prefix="mien-images") as pool:
        batches = pool.map(decode, range(0, len(files), _BATCH))
        return pixels, {row: reason for batch in batches for row, reason in batch.items()}
