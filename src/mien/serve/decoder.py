"""Decodes images in a process of its own, which is ended when an image takes too long or too much memory.

A decoder is C code that cannot be interrupted in a thread. `python -m mien.serve.decoder` is the other
process: it reads encoded images from its input and writes pixels to its output, one after the other.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from mien.errors import ImageError, ImageTooLarge
from mien.images.decode import DecodedImage, read_image
from mien.serve.settings import KEY_VARIABLE, MB

_REQUEST = struct.Struct(">IIQQ")  # bytes of the name, of the image; most pixels; most bytes of memory
_RESPONSE = struct.Struct(">BII")  # one of the kinds; width and height, or 0 and the bytes of a message
_PIXELS, _TOO_LARGE, _UNREADABLE = 0, 1, 2
# Pillow's own pixels (4 bytes), RGB as an array (3), and one copy in between; and room for small images.
_BYTES_PER_PIXEL, _ROOM = 12, 64 * MB
_STARTED, _START_S = b"+", 60.0


class _Named(io.BytesIO):
    """Encoded bytes with a name for messages."""

    name: str


class DecoderProcess:
    """Reads images as `read_image` does, each within a time limit. For one thread.

    The process is started at the first image, and again after it was ended.

    Args:
        max_pixels: of an image, checked in its header. The memory limit (Linux) follows from it.
        max_s: seconds per image.
    """

    def __init__(self, *, max_pixels: int, max_s: float) -> None:
        self._max_pixels, self._max_s = max_pixels, max_s
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, data: bytes, name: str) -> DecodedImage:
        """The image.

        Raises:
            ImageTooLarge: too many pixels, too much memory or too much time.
            ImageError: it cannot be read, or ended its decoder.
        """
        late: threading.Event | None = None
        try:
            if self._process is None:
                self._process = _start()
                with _ended_after(_START_S, self._process):
                    _exactly(cast(BinaryIO, self._process.stdout), len(_STARTED))
            with _ended_after(self._max_s, self._process) as late:
                self._send(cast(BinaryIO, self._process.stdin), data, name)
                return _receive(cast(BinaryIO, self._process.stdout), name)
        except (OSError, EOFError) as error:
            self.stop()
            if late and late.is_set():
                raise ImageTooLarge(
                    f"{name} could not be decoded within {self._max_s:g} s. Send a smaller version, "
                    "or save it as a plain JPEG (not progressive)."
                ) from None
            raise ImageError(f"{name} cannot be read: it ended its decoder. The file is damaged.") from error

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # it still held bytes for the ended process
                    pipe.close()
        process.wait()

    def _send(self, stdin: BinaryIO, data: bytes, name: str) -> None:
        encoded = name.encode(errors="surrogatepass")
        memory = _ROOM + _BYTES_PER_PIXEL * self._max_pixels
        stdin.write(_REQUEST.pack(len(encoded), len(data), self._max_pixels, memory) + encoded)
        stdin.write(data)
        stdin.flush()


@contextmanager
def _ended_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """A with block after whose time a process is ended; the event tells whether it was."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _start() -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mien.serve.decoder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the server; this process ends with its input
    )


def _receive(stdout: BinaryIO, name: str) -> DecodedImage:
    kind, width, height = _RESPONSE.unpack(_exactly(stdout, _RESPONSE.size))
    if kind == _PIXELS:
        pixels = np.empty((height, width, 3), np.uint8)
        if stdout.readinto(pixels.data.cast("B")) != pixels.nbytes:  # type: ignore[attr-defined]
            raise EOFError
        pixels.flags.writeable = False
        return DecodedImage(pixels, name)
    message = _exactly(stdout, height).decode(errors="surrogatepass")
    raise (ImageTooLarge if kind == _TOO_LARGE else ImageError)(message)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _serve(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """The other process: one response per request, until the input ends."""
    stdout.write(_STARTED)
    stdout.flush()
    while header := stdin.read(_REQUEST.size):
        name_bytes, image_bytes, max_pixels, memory = _REQUEST.unpack(header)
        name = _exactly(stdin, name_bytes).decode(errors="surrogatepass")
        image = _Named(_exactly(stdin, image_bytes))
        image.name = name
        _limit_memory(memory)
        try:
            pixels = read_image(image, max_pixels=max_pixels).pixels
        except MemoryError:
            message = f"{name} needs more than {memory / MB:,.0f} MB to be decoded. Send a smaller version."
            _respond(stdout, _TOO_LARGE, message)
        except ImageTooLarge as error:
            _respond(stdout, _TOO_LARGE, str(error))
        except Exception as error:  # whatever a decoder raises, it is about this image
            _respond(stdout, _UNREADABLE, describe(name, error))
        else:
            stdout.write(_RESPONSE.pack(_PIXELS, pixels.shape[1], pixels.shape[0]))
            stdout.write(np.ascontiguousarray(pixels).data.cast("B"))
            stdout.flush()
            del pixels
        del image


def describe(name: str, error: Exception) -> str:
    """Why an image could not be read; decoders raise errors of many kinds."""
    return str(error) if isinstance(error, ImageError) else f"{name} cannot be decoded: {error}."


def _respond(stdout: BinaryIO, kind: int, message: str) -> None:
    encoded = message.encode(errors="surrogatepass")
    stdout.write(_RESPONSE.pack(kind, 0, len(encoded)) + encoded)
    stdout.flush()


def _limit_memory(size: int) -> None:
    """Allow this process so many more bytes than it has now; where the system cannot, nothing changes."""
    if sys.platform != "linux":
        return
    import resource

    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    used = int(status.partition("VmData:")[2].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + size, hard))


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
