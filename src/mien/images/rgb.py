"""From what Pillow decoded to upright RGB, 8 bits a channel."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import ImageError

_ORIENTATION = 0x0112  # EXIF tag
# Source: EXIF 2.32, table 6; the numbers are those of the tag, 1 being upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        # A damaged EXIF block says nothing; the pixels are whole and stay as they are stored.
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """The image in RGB.

    Raises:
        ImageError: nothing says how its values map to brightness.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG")):
        return _from_16_bits(np.asarray(image))
    if image.mode in ("I", "F", "LAB"):
        what = {"I": "32-bit integers", "F": "floating-point values", "LAB": "L*a*b* colours"}[image.mode]
        raise ImageError(f"{name} holds {what}; save it with 8 or 16 bits a channel, gray or RGB.")
    if image.has_transparency_data:
        return on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _from_16_bits(values: NDArray[Any]) -> Image.Image:
    """Gray values 0..65535 as RGB 0..255, rounded: 65535 / 255 is 257."""
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """An RGBA image laid on white, as most programs show it."""
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")
