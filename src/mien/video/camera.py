"""Opens cameras, and recognizes one that is absent, busy or frozen."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import ImageError, MissingExtra
from mien.video.frame import VideoFrame
from mien.video.opening import as_video
from mien.video.reader import Video

# A camera whose frames do not change by a single gray level for so long is frozen: even frames of a wall
# differ by their noise.
FROZEN_S = 3.0


def open_camera(camera: str | int = 0, *, size: tuple[int, int] = (640, 480)) -> Video:
    """Opens a camera by its number or its device's path, and requests frames of about this size.

    Raises:
        MissingExtra: PyAV is not installed.
        ImageError: there is no such camera, or it cannot be used; the message has the remedy.
    """
    try:
        import av
    except ImportError:
        raise MissingExtra("reading cameras", "video") from None
    name = str(camera)
    form, device = _device(name)
    options = {"video_size": f"{size[0]}x{size[1]}", "framerate": "30"}
    try:
        container = av.open(device, "r", format=form, options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ImageError(_explain(name, error)) from error
    video = as_video(f"camera {name}", container, live=True)
    video.endless = True
    return video


def until_frozen(
    frames: Iterator[VideoFrame], video: Video, *, limit_s: float = FROZEN_S
) -> Iterator[VideoFrame]:
    """Yields a camera's frames until the same one has come for `limit_s`; `video.status` has the reason."""
    before, since_s = b"", 0.0
    for frame in frames:
        now = _fingerprint(frame)
        if now != before:
            before, since_s = now, frame.time_s
        elif frame.time_s - since_s >= limit_s:
            video.status.reason = (
                f"{video.source} has given the same frame for {limit_s:g} s; it is frozen or covered. "
                "Unplug it and plug it in again, or close the program that holds it"
            )
            return
        yield frame


def _fingerprint(frame: VideoFrame) -> bytes:
    """The first plane's pixels as they are: equal only for frames that are the same to the bit."""
    plane: Any = frame.native.planes[0]
    return np.frombuffer(plane, np.uint8).tobytes()


def _device(name: str) -> tuple[str, str]:
    """FFmpeg's name of the system's camera input, and of the camera in it."""
    if sys.platform == "darwin":
        return "avfoundation", f"{name}:none"
    if sys.platform == "win32":
        return "dshow", f"video={_windows_name(name)}"
    return "v4l2", f"/dev/video{name}" if name.isdigit() else name


def _windows_name(name: str) -> str:
    """DirectShow knows cameras by name alone."""
    from av.device import enumerate_input_devices

    cameras = [found.name for found in enumerate_input_devices("dshow") if "video" in found.media_types]
    if not name.isdigit():
        return name
    if int(name) >= len(cameras):
        raise FileNotFoundError(errno.ENOENT, "no such camera", name)
    return cameras[int(name)]


def _explain(name: str, error: Exception) -> str:
    """What kept a camera from being opened, and what to do about it."""
    code = getattr(error, "errno", None)
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"camera {name} is absent. {_present()} Plug it in, or give the number of another."
    if code == errno.EBUSY:
        return f"camera {name} is busy: another program uses it. Close that program and try again."
    if code in (errno.EACCES, errno.EPERM):
        remedy = "Allow it in the system's privacy settings"
        if sys.platform.startswith("linux"):
            remedy = "Add your user to the group `video` (sudo usermod -aG video $USER) and log in again"
        return f"camera {name} may not be used by this user. {remedy}."
    why = getattr(error, "strerror", None) or str(error)
    return f"camera {name} cannot be opened: {why}. {_present()}"


def _present() -> str:
    if not sys.platform.startswith("linux"):
        return ""
    cameras = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
    return f"Cameras here: {', '.join(cameras)}." if cameras else "There is no camera here."
