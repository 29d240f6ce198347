"""The images, or the clips, of folders, globs, lists and addresses of stores, one after the other."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

from mien.errors import ImageError, ImageTooLarge, MissingExtra, UsageError
from mien.files import expanded, sha256_file
from mien.images.find import SUFFIXES as IMAGES
from mien.images.find import is_several, walk_files
from mien.names import shown, shown_text
from mien.video.sources import SUFFIXES as CLIPS
from mien.video.sources import is_address, without_password

# What the rows of a data set are of. The two can share a folder.
Kind: TypeAlias = Literal["images", "clips"]
LIST_SUFFIX = ".txt"
_KINDS: tuple[Kind, ...] = ("images", "clips")
_SUFFIXES: dict[Kind, frozenset[str]] = {"images": IMAGES, "clips": CLIPS}
# The stores that `mien` names an extra for; others work where their package is installed.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "hf": "hf"}
# Streams of `mien predict --stream`, not stores.
_STREAMS = {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp", "hls", "mms", "http", "https"}
# What a store says of a file that changes when the file does, the best first.
_VERSIONS = ("ETag", "etag", "oid", "blob_id", "generation", "mtime", "LastModified", "updated", "created")
_QUERY = re.compile(r"(?<=\w)\?[^\s'\"]*")
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL")
_SHORTEST_SECRET = 8
_MOST_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read.

    Attributes:
        source: the file as it is shown and stored: a path as given, or an address without credentials.
        location: where to read it: the same, with what a store needs.
        name: its path in the folder or below the address that was given; chooses the shard.
        bytes: its size, or None where it cannot be known.
        version: changes when the file does: the time of its last change in ns, or the store's own tag.
        range: (i, n) for the i-th of n ranges of a long clip; None for the whole file.
    """

    source: str
    location: str
    name: str
    bytes: int | None
    version: str
    range: tuple[int, int] | None = None


def is_store(source: str) -> bool:
    """Whether a source is an address of a store, such as ``"s3://bucket/photos"``, and not of a stream."""
    return is_address(source) and source.split("://")[0].lower() not in _STREAMS


def is_list(source: str) -> bool:
    """Whether a source is a text file that lists images or clips, one per line."""
    return not is_address(source) and Path(source).suffix.lower() == LIST_SUFFIX


def kinds_in(source: str) -> set[Kind]:
    """What an address of a store, or a list, names; both where it may be either.

    Raises:
        ImageError: the list cannot be read.
    """
    if is_list(source):
        entries = _entries(expanded(source))
        return {"clips" if _has_suffix(entry, CLIPS) else "images" for entry in entries}
    return {kind for kind in _KINDS if _has_suffix(source, _SUFFIXES[kind])} or set(_KINDS)


def names_any(source: str, kind: Kind) -> bool:
    """Whether there is a file of a kind at an address of a store."""
    try:
        return next(_in_store(source, kind), None) is not None
    except ImageError:
        return False


def iter_files(sources: Iterable[str], kind: Kind = "images") -> Iterator[SourceFile]:
    """Yields the files of a kind in all sources, in their order, each once; missing ones are yielded as well.

    Of a list, the lines with names of clips are clips, and all others are images.

    Raises:
        ImageError: a folder, a glob or an address without such a file; a list that cannot be read.
        MissingExtra: the package for a store is not installed.
    """
    sources = list(sources)
    seen: set[int] | None = set() if len(sources) > 1 or any(map(is_list, sources)) else None
    for source in sources:
        for file in _files_of(source, kind):
            if seen is not None:
                number = _number(file.location)
                if number in seen:
                    continue
                seen.add(number)
            yield file


def in_shard(name: str, shard: tuple[int, int] | None) -> bool:
    """Whether a file belongs to a shard (i, n), 1 <= i <= n; the hash of its name decides."""
    return shard is None or _number(name) % shard[1] == shard[0] - 1


def read_shard(text: str | None) -> tuple[int, int] | None:
    """``"3/16"`` as (3, 16): the third of sixteen shards.

    Raises:
        UsageError: the text is not a shard.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {shown(text)} is not a share. Write 3/16: the third of sixteen.")
    return int(match[1]), int(match[2])


def read_bytes(file: SourceFile) -> bytes:
    """The content of a file.

    Raises:
        OSError: it cannot be read; the message holds no credentials.
        ImageTooLarge: it has more than a gigabyte.
        MissingExtra: the package for its store is not installed.
    """
    if (file.bytes or 0) > _MOST_BYTES:
        raise ImageTooLarge(f"{shown(file.source)} has {file.bytes:,} bytes, more than {_MOST_BYTES:,}.")
    if not is_store(file.location):
        return _read_local(Path(file.location))
    store, path = _open_store(file.location)
    try:
        content: bytes = store.cat_file(path)
    except Exception as error:  # each store has errors of its own
        raise OSError(f"{shown(file.source)} cannot be read: {without_secrets(error)}.") from None
    return content


def hash_of(file: SourceFile) -> str:
    """The SHA-256 of a file's content, in hex; errors as of `read_bytes`."""
    if is_store(file.location):
        return hashlib.sha256(read_bytes(file)).hexdigest()
    with _errors_named(Path(file.location)) as path:
        return sha256_file(path)


@contextmanager
def local_path(file: SourceFile) -> Iterator[Path]:
    """Where a file lies on this machine while the ``with`` block runs; that of a store is downloaded for it.

    Raises:
        OSError: it cannot be read; the message holds no credentials.
        MissingExtra: the package for its store is not installed.
    """
    if not is_store(file.location):
        with _errors_named(Path(file.location)) as path:
            pass
        yield path
        return
    store, inner = _open_store(file.location)
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        path = Path(folder) / f"clip{PurePosixPath(file.name).suffix}"
        try:
            store.get_file(inner, str(path))
        except Exception as error:  # each store has errors of its own
            raise OSError(f"{shown(file.source)} cannot be read: {without_secrets(error)}.") from None
        yield path


def _read_local(path: Path) -> bytes:
    with _errors_named(path):
        return path.read_bytes()


@contextmanager
def _errors_named(path: Path) -> Iterator[Path]:
    """A ``with`` block that reads a file, if it is one; what the system refuses becomes a whole sentence."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # reading a pipe could take for ever
            kind = "a folder that cannot be listed" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise OSError(f"{shown(path)} is {kind}, not a file.")
        yield path
    except (OSError, ValueError) as error:  # the latter for a zero byte in a name
        why = getattr(error, "strerror", None)
        raise OSError(f"{shown(path)} cannot be read: {why}." if why else f"{error}") from None


def without_secrets(text: object) -> str:
    """A message without passwords, query strings and the values of the environment's credentials."""
    clean = _QUERY.sub("", without_password(f"{text}" or type(text).__name__))
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET.search(name.upper()):
            clean = clean.replace(value, "***")
    return shown_text(clean).rstrip(".")


def _files_of(source: str, kind: Kind) -> Iterator[SourceFile]:
    if is_store(source):
        yield from _in_store(source, kind)
    elif is_list(source):
        yield from _in_list(expanded(source), kind)
    elif is_several(source):
        root = expanded(source)
        parts = root.parts
        if not root.is_dir():  # a glob: what is before its first pattern
            fixed = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
            root = Path(*parts[:fixed])
        for path in walk_files(source, _SUFFIXES[kind], kind=kind):
            yield _local(path, os.path.relpath(path, root))
    else:
        path = expanded(source)
        yield _local(path, path.name)


def _in_list(path: Path, kind: Kind) -> Iterator[SourceFile]:
    """The files of a list; relative paths start at the list's folder."""
    for entry in _entries(path):
        if is_store(entry) and not _has_suffix(entry, IMAGES | CLIPS):  # a folder
            if kind == "images":
                yield from _in_store(entry, kind)
        elif _has_suffix(entry, CLIPS) != (kind == "clips"):
            continue
        elif is_store(entry):
            yield from _in_store(entry, kind)
        else:
            yield _local(path.parent / expanded(entry), entry)


def _has_suffix(name: str, suffixes: frozenset[str]) -> bool:
    clean = _QUERY.sub("", name) if is_store(name) else name
    return PurePosixPath(clean).suffix.lower() in suffixes


def _entries(path: Path) -> Iterator[str]:
    """The lines of a list that are not empty."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            yield from (entry for line in lines if (entry := line.rstrip("\r\n")).strip())
    except OSError as error:
        raise ImageError(f"the list {shown(path)} cannot be read: {error.strerror}.") from error


def _local(path: Path, name: str) -> SourceFile:
    try:
        status = path.stat()
    except (OSError, ValueError):  # reading it reports why
        return SourceFile(str(path), str(path), _posix(name), None, "")
    return SourceFile(str(path), str(path), _posix(name), status.st_size, str(status.st_mtime_ns))


def _in_store(address: str, kind: Kind) -> Iterator[SourceFile]:
    """The files of a kind at an address: one file, or what is below it or matches its pattern, by folder."""
    store, path = _open_store(address)
    root, whole = path.rstrip("/"), address.rstrip("/")
    # What stands before the path, a login included; None where the address holds more than that.
    prefix = whole[: -len(root)] if root and whole.endswith(root) else None
    try:
        if any(sign in path for sign in "*?["):
            root = path[: min(path.index(sign) for sign in "*?[" if sign in path)].rpartition("/")[0]
            found = sorted(store.glob(path, detail=True).items())
            files: Iterable[tuple[str, dict[str, Any]]] = found
        elif store.isfile(path):
            root = path.rpartition("/")[0]
            files = [(path, store.info(path))]
        else:
            files = _below(store, path)
        count = 0
        for name, info in files:
            if info.get("type") == "directory":
                continue
            if PurePosixPath(name).suffix.lower() not in _SUFFIXES[kind] and name != path:
                continue
            count += 1
            version = next((f"{info[key]}" for key in _VERSIONS if info.get(key) is not None), "")
            location = store.unstrip_protocol(name) if prefix is None else f"{prefix}{name}"
            inner = name.removeprefix(root).lstrip("/")
            yield SourceFile(_clean(location), location, inner, info.get("size"), version)
    except (MissingExtra, ImageError):
        raise
    except Exception as error:  # each store has errors of its own
        raise ImageError(f"{shown(_clean(address))} cannot be listed: {without_secrets(error)}.") from None
    if not count:
        raise ImageError(
            f"{shown(_clean(address))} contains no {kind}: no name in it ends in "
            f"{', '.join(sorted(_SUFFIXES[kind]))}."
        )


def _below(store: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files below a path, folder by folder, sorted in each."""
    for _, _, files in store.walk(path, detail=True, on_error="raise"):
        for info in sorted(files.values(), key=lambda info: str(info["name"])):
            yield str(info["name"]), info


def _open_store(address: str) -> tuple[Any, str]:
    """The file system of an address and the path in it; fsspec keeps file systems by their options."""
    scheme = address.split("://")[0].lower()
    extra = _EXTRAS.get(scheme, "s3")
    try:
        import fsspec
    except ImportError:
        raise MissingExtra(f"reading {scheme}:// addresses", extra) from None
    try:
        store, path = fsspec.core.url_to_fs(address)
    except ImportError:
        raise MissingExtra(f"reading {scheme}:// addresses", extra) from None
    except Exception as error:  # an unknown scheme, or an address that the store refuses
        message = f"{shown(_clean(address))} cannot be opened: {without_secrets(error)}."
        raise ImageError(message) from None
    return store, str(path)


def _clean(address: str) -> str:
    return _QUERY.sub("", without_password(address))


def _posix(name: str) -> str:
    return name.replace(os.sep, "/")


def _number(name: str) -> int:
    """A stable number of 64 bits for a name, which may hold bytes that are not Unicode."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
