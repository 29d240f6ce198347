"""Files of a kind in folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from mien.errors import ImageError
from mien.files import expanded, kind_of_path
from mien.names import shown

# Those of HEIC are among them, so that such photos in a folder are reported and not passed over.
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".tif", ".tiff",
    ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".heic", ".heif",
))  # fmt: skip


def find_images(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The images of files, folders and globs, each once, in the order of the sources; see `find_files`.

    Raises:
        ImageError: a folder or a glob contains no image.
    """
    return find_files(sources, SUFFIXES, kind="images")


def walk_files(
    source: str | os.PathLike[str], suffixes: Collection[str] = SUFFIXES, *, kind: str = "images"
) -> Iterator[Path]:
    """Yields the files of a folder or a glob that `find_files` finds, without a list of all of them.

    Those of a folder come folder by folder, sorted in each. Folders that cannot be listed come last.

    Raises:
        ImageError: there is no such file.
    """
    path = expanded(source)
    closed: list[Path] = []
    in_folder = kind_of_path(path, ImageError) == "folder"
    paths = _in_folder(path, closed) if in_folder else sorted(_matches(path, closed))
    count = 0
    for each in paths:
        if _is_of(each, suffixes) and (in_folder or each.is_file()):
            count += 1
            yield each
    if not count and not closed:
        raise _none(source, suffixes, kind)
    yield from closed


def find_files(
    sources: Iterable[str | os.PathLike[str]], suffixes: Collection[str], *, kind: str
) -> list[Path]:
    """The files with these suffixes in files, folders and globs, each once, in the order of the sources.

    A folder gives such files in it and below, sorted, without hidden ones; so does a glob, where ``**`` goes
    down folders. A name without ``*``, ``?`` or ``[`` that is not a folder is returned as it is, whatever its
    suffix, and even if there is no such file: the reader reports what is wrong with it.

    A folder that cannot be listed is returned as well, for the same reason.

    Raises:
        ImageError: a folder or a glob contains no such file; `kind` names them in the message.
    """
    found: dict[Path, None] = {}
    for source in sources:
        path = expanded(source)
        closed: list[Path] = []
        if not is_several(path):
            found[path] = None
            continue
        if kind_of_path(path, ImageError) == "folder":
            paths = _in_folder(path, closed)
        else:
            paths = (match for match in _matches(path, closed) if match.is_file())
        of_kind = [each for each in paths if _is_of(each, suffixes)]
        if not of_kind and not closed:
            raise _none(source, suffixes, kind)
        found.update(dict.fromkeys(sorted([*of_kind, *closed])))
    return list(found)


def _is_of(path: Path, suffixes: Collection[str]) -> bool:
    """Whether a file in a folder is of the kind that has these suffixes; hidden ones are not."""
    if path.name[0] == "." or path.suffix.lower() not in suffixes:
        return False
    return path.suffix.lower() != ".ts" or not _is_typescript(path)


def _is_typescript(path: Path) -> bool:
    """Whether a file is not a transport stream of MPEG, whose packets begin with 0x47, but a program."""
    if not path.is_file():  # a pipe would wait for its writer
        return False
    try:
        with path.open("rb") as file:
            return file.read(1) not in (b"G", b"")
    except OSError:
        return False  # the reader reports it


def _none(source: object, suffixes: Collection[str], kind: str) -> ImageError:
    ends = ", ".join(sorted(suffixes))
    return ImageError(f"{shown(source)} contains no {kind}: no name in it ends in {ends}.")


def is_several(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a folder or a glob, which may stand for several files."""
    path = expanded(source)
    try:
        kind = kind_of_path(path, ImageError)
    except ImageError:
        return False  # the reader reports it
    return kind == "folder" or (kind == "nothing" and glob.has_magic(str(path)))


def _in_folder(folder: Path, closed: list[Path], *, follow_links: bool = False) -> Iterator[Path]:
    """The files in a folder and below, without those in hidden folders; each real folder is entered once.

    Folders that cannot be listed are added to `closed`.
    """

    def note(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            closed.append(Path(error.filename))

    seen: set[str] = set()
    for here, folders, names in os.walk(folder, onerror=note, followlinks=follow_links):
        if follow_links:
            real = os.path.realpath(here)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names))


def _matches(pattern: Path, closed: list[Path]) -> Iterator[Path]:
    """What a glob matches. ``**`` goes down links to folders too, but never twice into the same folder."""
    parts = pattern.parts
    if "**" not in parts:
        yield from (Path(match) for match in glob.glob(str(pattern)))  # noqa: PTH207
        return
    cut = parts.index("**")
    base = Path(*parts[:cut])
    for folder in sorted(glob.glob(str(base)) if glob.has_magic(str(base)) else [str(base)]):  # noqa: PTH207
        for file in _in_folder(Path(folder), closed, follow_links=True):
            if _fits(file.relative_to(folder).parts, parts[cut:]):
                yield file


def _fits(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether the names of a path match the parts of a pattern, where ``**`` is any number of names."""
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_fits(names[i:], patterns[1:]) for i in range(len(names) + 1))
    return bool(names) and fnmatch(names[0], patterns[0]) and _fits(names[1:], patterns[1:])
