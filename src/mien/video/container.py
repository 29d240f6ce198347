"""PyAV's container of a file or an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.errors import ImageError, MissingExtra
from mien.video.sources import is_address, without_password

if TYPE_CHECKING:
    from av.container import InputContainer

# For a stream to answer, and to send its next bytes.
_TIMEOUTS_S = (10.0, 10.0)


def open_container(name: str) -> InputContainer:
    """PyAV's container of a file or an address.

    Raises:
        MissingExtra: PyAV is not installed.
        ImageError: it cannot be opened.
    """
    try:
        import av
    except ImportError:
        raise MissingExtra("reading videos", "video") from None
    address = is_address(name)
    # Over UDP, lost packets would become broken pictures.
    options = {"rtsp_transport": "tcp"} if name.lower().startswith("rtsp") else {}
    try:
        return av.open(name, "r", options=options, timeout=_TIMEOUTS_S if address else None)
    except (av.FFmpegError, OSError) as error:
        why = f"{error.strerror or error}."
        if isinstance(error, av.error.InvalidDataError):
            why += " It is no video, or it was cut off before its index was written."
        raise ImageError(f"{without_password(name)} cannot be opened: {why}") from error
