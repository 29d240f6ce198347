"""Why Pillow could not read a file, in words that its owner can act on."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

import numpy as np
from PIL import Image

# The formats of photos. Left out are formats that run other programs (EPS), that any bytes may pass for
# (TGA), or that contain no photos. HEIF is known to Pillow only where pillow-heif is installed.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "AVIF", "JPEG2000", "HEIF")

_MAGIC = (
    (b"\xff\xd8\xff", 0, "a JPEG"),
    (b"\x89PNG", 0, "a PNG"),
    (b"GIF8", 0, "a GIF"),
    (b"WEBP", 8, "a WebP"),
    (b"II*\0", 0, "a TIFF"),
    (b"MM\0*", 0, "a TIFF"),
    (b"BM", 0, "a BMP"),
    (b"ftypavif", 4, "an AVIF"),
    (b"\x00\x00\x00\x0cjP  ", 0, "a JPEG 2000"),
)
_HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypheim", b"ftyphevm", b"ftypmsf1")


def describe_unknown(name: str, file: BinaryIO) -> str:
    """Why no reader accepted the file: damaged after its first bytes, HEIC, or not an image."""
    size, start = _size(file), _start(file)
    for magic, offset, what in _MAGIC:
        if start[offset : offset + len(magic)] == magic:
            return f"{name} begins as {what} but is cut short or damaged (it ends after {size:,} bytes)."
    if start[4:12] in _HEIC:
        if "HEIF" in Image.OPEN:
            return (
                f"{name} begins as a HEIC photo but is cut short or damaged (it ends after {size:,} bytes)."
            )
        return (
            f"{name} is a HEIC photo, and the package that reads them is not installed. Install it with: "
            "pip install 'mien[heif]'; or save the photo as JPEG."
        )
    return (
        f"{name} cannot be read as an image: its {size:,} bytes begin with {start[:8]!r}, which is no format "
        "that mien reads."
    )


def describe_damage(name: str, image: Image.Image | None, file: BinaryIO | None, error: Exception) -> str:
    """How much of an image is missing, if its format allows to know it."""
    missing = _missing_bytes(file) if file else 0
    if missing > 0 and file:
        total = _size(file) + missing
        return f"{name} is cut short: {missing:,} of its {total:,} bytes are missing."
    rows = _missing_rows(image) if image else 0
    if rows and image:
        return f"{name} is cut short or damaged: the last {rows:,} of its {image.height:,} rows are missing."
    if file:
        return f"{name} is cut short or damaged: it ends after {_size(file):,} bytes ({error})."
    return f"{name} is cut short or damaged ({error})."


def _missing_bytes(file: BinaryIO) -> int:
    """Bytes that the header announces and the file lacks; 0 if the format does not state it."""
    start, size = _start(file), _size(file)
    if start[:4] == b"RIFF" and len(start) >= 12:
        return int(struct.unpack("<I", start[4:8])[0]) + 8 - size
    if start[:2] == b"BM" and len(start) >= 6:
        return int(struct.unpack("<I", start[2:6])[0]) - size
    return 0


def _missing_rows(image: Image.Image) -> int:
    """Rows below the last that was decoded; 0 if unknown.

    Decoders that go from top to bottom leave the rest of the memory at zero.
    """
    if image.format not in ("JPEG", "MPO", "PNG", "PPM", "TIFF", "GIF") or image.info.get("interlace"):
        return 0
    try:
        decoded = np.asarray(_decoded(image))
    except (OSError, ValueError, AttributeError, AssertionError):
        return 0  # nothing was decoded; the caller reports the length of the file
    filled = np.flatnonzero(decoded.reshape(len(decoded), -1).any(axis=1))
    return image.height - int(filled[-1]) - 1 if len(filled) else 0


def _decoded(image: Image.Image) -> Image.Image:
    """What a decoder wrote before it failed, as an image of its own."""
    part = Image.new(image.mode, image.size)
    part.im = image.im
    return part


def _start(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(32)


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
