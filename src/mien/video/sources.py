"""What a source is: a clip's file, a stream's address or a camera; and the clips of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mien.errors import ImageError
from mien.files import kind_of_path
from mien.images.find import find_files
from mien.names import shown

# Containers that FFmpeg opens and that are not images; an animated GIF is read as a photo.
SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_camera(source: str) -> bool:
    """Whether a source names a camera: ``"0"`` (unless a file has that name) or ``"/dev/video0"``."""
    numbered = source.isascii() and source.isdigit() and kind_of_path(Path(source), ImageError) == "nothing"
    return numbered or source.startswith("/dev/video")


def is_address(source: str) -> bool:
    """Whether a source is an address such as ``"rtsp://camera.local/1"``."""
    return _ADDRESS.match(source) is not None


def without_password(address: str) -> str:
    """The address as it may be shown and stored: ``"rtsp://me:secret@cam/1"`` gives ``"rtsp://cam/1"``."""
    return re.sub(r"(?<=://)[^/@]*@", "", address)


def is_clip(source: str) -> bool:
    """Whether a source names a clip by its suffix, such as ``"holiday.MP4"``."""
    return not is_address(source) and Path(source).suffix.lower() in SUFFIXES


def find_clips(sources: Iterable[str]) -> list[Path]:
    """The clips of paths, of folders and what is below them, and of globs, sorted within each, each once.

    Raises:
        ImageError: a source names nothing, or a folder or glob without a clip.
    """
    clips = find_files(sources, SUFFIXES, kind="clips")
    if absent := [clip for clip in clips if kind_of_path(clip, ImageError) == "nothing"]:
        raise ImageError(f"{shown(absent[0])} does not exist.")
    return clips


def find_sources(sources: list[str]) -> list[str]:
    """Cameras and addresses as they are, and the clips of paths, folders and globs; each once.

    Raises:
        ImageError: a source names nothing, or a folder or glob without a clip.
    """
    found: dict[str, None] = {}
    for source in sources:
        alone = is_camera(source) or is_address(source)
        found.update(dict.fromkeys([source] if alone else map(str, find_clips([source]))))
    return list(found)


def file_names(clips: list[str]) -> dict[str, str]:
    """A file name for each clip's outputs, none twice."""
    names: dict[str, str] = {}
    for clip in clips:
        stem = Path(clip).stem
        if is_camera(clip):
            stem = f"camera-{Path(clip).name}"
        elif is_address(clip):
            stem = "stream"
        number, name = 1, stem
        while name.casefold() in {taken.casefold() for taken in names.values()}:
            number += 1
            name = f"{stem}-{number}"
        names[clip] = name
    return names
