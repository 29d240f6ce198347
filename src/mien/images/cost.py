"""Images that take far more time or memory than their pixels promise are refused before they are decoded.

The figures are those of Pillow 13 on one core of a server of 2024, by `benchmarks/expensive_images.py`.
"""

from __future__ import annotations

import mmap
import re
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO

from PIL import Image

from mien.errors import ImageTooLarge
from mien.images.av1 import sizes_of_frames

# A JPEG's pixel takes 7 ns. Counted in such pixels: a pixel of each further scan, and a byte of an image with
# several scans. 250 million take 2 s.
_PIXELS_PER_SCAN, _PIXELS_PER_BYTE = 0.1, 3.0
_MOST_COST = 250_000_000
# Most pixels of other formats, and ns per pixel and per byte. JPEG 2000 takes 12 bytes of memory per pixel,
# WebP 15, AVIF 9; other formats 7.
_LIMITS = {
    "JPEG2000": (16_000_000, 40, 115),
    "WEBP": (50_000_000, 22, 25),
    "AVIF": (60_000_000, 18, 65),
    "HEIF": (60_000_000, 18, 65),
}
_MOST_S = 2.0
# Netpbm as text, or with another maximum than 255, and compressed BMP are decoded in Python: 0.8 us a sample.
_PYTHON_DECODERS = ("ppm", "ppm_plain", "bmp_rle")
_MOST_IN_PYTHON = 1_000_000
# Markers of a JPEG that are followed by a length; in scans 0xFF is followed by 0 or a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_SCAN, _END = 0xDA, 0xD9
_TILE_WIDTH, _TILE_HEIGHT = 322, 323  # tags of TIFF
_IMAGE_SIZE, _MOST_OF_HEADER = b"ispe", 1_000_000  # box of AVIF and HEIF: version and flags, width, height


def check_pixels(image: Image.Image, name: str, file: BinaryIO, max_pixels: int) -> None:
    """Raise for an image that announces too many pixels, also in its parts.

    Raises:
        ImageTooLarge: the image, or a tile or an item of it, is larger than that.
    """
    sizes = [(image.width, image.height), *_sizes_of_parts(image, file)]
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if width * height > max_pixels:
        part = "" if (width, height) == sizes[0] else "a part of "
        raise ImageTooLarge(
            f"{name} announces {part}{width:,} x {height:,} pixels, more than the "
            f"{max_pixels:,} allowed. Shrink it, or allow more with max_pixels."
        )


def check_cost(image: Image.Image, name: str, file: BinaryIO) -> None:
    """Raise for an image that would take more than about 2 s.

    Raises:
        ImageTooLarge: too many scans of a JPEG; a large image of a slow format or decoder.
    """
    pixels = image.width * image.height
    if image.format in ("JPEG", "MPO"):
        scans, cost = jpeg_cost(file, pixels)
        if scans > 1 and cost > _MOST_COST:
            raise ImageTooLarge(
                f"{name} has {scans:,} or more scans of {image.width:,} x {image.height:,} pixels, too many "
                "to read. Save it as a plain JPEG (not progressive)."
            )
    elif image.format in _LIMITS:
        most, per_pixel, per_byte = _LIMITS[image.format]
        seconds = (per_pixel * pixels + per_byte * _bytes_of_frame(image, file)) / 1e9
        if pixels > most or seconds > _MOST_S:
            raise ImageTooLarge(
                f"{name} has {image.width:,} x {image.height:,} pixels in {_size(file):,} bytes; mien reads "
                f"{image.format} up to {most // 1_000_000} megapixels, and less where it would take more "
                f"than {_MOST_S:g} s. Save it as JPEG or PNG."
            )
    elif any(tile.codec_name in _PYTHON_DECODERS for tile in getattr(image, "tile", ())):
        samples = pixels * len(image.getbands())
        if samples > _MOST_IN_PYTHON:
            raise ImageTooLarge(
                f"{name} has {samples:,} values in an encoding that takes long to read; mien reads up to "
                f"{_MOST_IN_PYTHON:,} of them. Save it as PNG."
            )


def jpeg_cost(file: BinaryIO, pixels: int) -> tuple[int, float]:
    """The number of scans of a JPEG, and its cost in pixels; beyond the limit both are lower bounds.

    What follows the end of the image, such as the video of a motion photo, does not count.
    """
    data = _content(file)
    scans, at = 0, 2
    while (marker := _MARKER.search(data, at)) and marker[0][1] != _END:
        start = marker.end()
        at = start + int.from_bytes(data[start : start + 2], "big")
        if marker[0][1] == _SCAN:
            scans += 1
            if _cost(pixels, scans, start) > _MOST_COST:
                return scans, _cost(pixels, scans, start)
    return scans, _cost(pixels, scans, marker.start() if marker else len(data))


def _cost(pixels: int, scans: int, size: int) -> float:
    if scans <= 1:
        return pixels
    return pixels * (1 + _PIXELS_PER_SCAN * (scans - 1)) + _PIXELS_PER_BYTE * size


def _content(file: BinaryIO) -> bytes | mmap.mmap:
    """The content of a file; one on disk is not read into memory as a whole."""
    if isinstance(file, BytesIO):
        return file.getvalue()
    with suppress(OSError, ValueError):
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    file.seek(0)
    return file.read()


def _sizes_of_parts(image: Image.Image, file: BinaryIO) -> list[tuple[int, int]]:
    """Width and height of a TIFF's tiles, an AVIF's or HEIF's items, and an AVIF's coded frames.

    A decoder decodes them whole, however small the image that they are cut to.
    """
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        width, height = tags.get(_TILE_WIDTH), tags.get(_TILE_HEIGHT)
        return [(width, height)] if isinstance(width, int) and isinstance(height, int) else []
    if image.format not in ("AVIF", "HEIF"):
        return []
    file.seek(0)
    head = file.read(_MOST_OF_HEADER)
    starts = (found.end() + 4 for found in re.finditer(_IMAGE_SIZE, head))  # 4: version and flags
    sizes = (head[at : at + 8] for at in starts)
    announced = [(int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")) for size in sizes]
    return announced + (sizes_of_frames(_content(file)) if image.format == "AVIF" else [])


def _bytes_of_frame(image: Image.Image, file: BinaryIO) -> float:
    """Of an animation only the first frame is decoded."""
    return _size(file) / max(1, getattr(image, "n_frames", 1))


def _size(file: BinaryIO) -> int:
    return len(file.getbuffer()) if isinstance(file, BytesIO) else file.seek(0, 2)
