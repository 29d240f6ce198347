"""Files of a kind in folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from mien.errors import ImageError

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


def find_files(
    sources: Iterable[str | os.PathLike[str]], suffixes: Collection[str], *, kind: str
) -> list[Path]:
    """The files with these suffixes in files, folders and globs, each once, in the order of the sources.

    A folder gives such files in it and below, sorted, without hidden ones; so does a glob, where ``**`` goes
    down folders. A name without ``*``, ``?`` or ``[`` that is not a folder is returned as it is, whatever its
    suffix, and even if there is no such file: the reader reports what is wrong with it.

    Raises:
        ImageError: a folder or a glob contains no such file; `kind` names them in the message.
    """
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            paths = _in_folder(path)
        elif is_several(path):
            matches = (Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207
            paths = [match for match in matches if match.is_file()]
        else:
            found[path] = None
            continue
        of_kind = [each for each in paths if each.suffix.lower() in suffixes and each.name[0] != "."]
        if not of_kind:
            raise ImageError(
                f"{source} contains no {kind}: no name in it ends in {', '.join(sorted(suffixes))}."
            )
        found.update(dict.fromkeys(sorted(of_kind)))
    return list(found)


def is_several(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a folder or a glob, which may stand for several files."""
    path = Path(source).expanduser()
    return path.is_dir() or (glob.has_magic(str(path)) and not path.exists())


def _in_folder(folder: Path) -> list[Path]:
    """The files in a folder and below, without those in hidden folders."""
    files = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(here, name) for name in names]
    return files
