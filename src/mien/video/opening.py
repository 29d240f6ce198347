"""Opens clips and streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import ImageError, UsageError
from mien.files import kind_of_path
from mien.names import shown
from mien.video.reader import Video, open_container
from mien.video.sources import is_address, is_camera, without_password

if TYPE_CHECKING:
    from av.container import InputContainer


def open_video(source: str | Path, *, stream: bool = False) -> Video:
    """Opens a clip's file; with `stream` also an address (``rtsp://``, ``http://``, ...).

    Raises:
        MissingExtra: PyAV is not installed.
        ImageError: it cannot be opened, or has no moving images.
        UsageError: an address without `stream`, or a camera, which `open_camera` opens.
    """
    name = str(source)
    public = without_password(name)
    if is_address(name):
        if not stream:
            raise UsageError(f"{public} is an address. Add --stream to allow mien to connect to it.")
        container = open_container(name)
        return as_video(public, container, live=container.duration is None)
    if is_camera(name):
        raise UsageError(f"{name} is a camera; open it with mien.video.camera.open_camera.")
    if kind_of_path(Path(source), ImageError) != "file":
        raise ImageError(f"{shown(name)} is not a file.")
    return as_video(name, open_container(name))


def as_video(name: str, container: InputContainer, *, live: bool = False) -> Video:
    """The moving images of an opened container; `live` if they come at their own pace.

    Raises:
        ImageError: it has only sound, or its codec is unknown.
    """
    from av.stream import Disposition

    tracks = [track for track in container.streams.video if Disposition.attached_pic not in track.disposition]
    if not tracks or tracks[0].codec_context is None:
        container.close()
        raise ImageError(f"{name} has no moving images that can be decoded.")
    # Threads over frames hold frames back until those behind them are in: no good for live ones.
    try:
        tracks[0].thread_type = "SLICE" if live else "AUTO"
        return Video(name, container, tracks[0], live)
    except Exception as error:  # PyAV raises errors of many kinds for damaged files
        container.close()
        raise ImageError(f"{shown(name)} cannot be opened: {error}.") from error
