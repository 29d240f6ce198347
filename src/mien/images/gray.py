"""Images of single faces as gray squares, and back."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.images.decode import EncodedSource, decode

# A face is at most a few thousand pixels wide; a header that announces more than this is not one face.
_MAX_PIXELS = 64_000_000


def read_gray(
    source: EncodedSource, *, name: str | None = None, max_pixels: int = _MAX_PIXELS
) -> NDArray[np.uint8]:
    """An encoded image as uint8 (H, W): upright, gray by ITU-R 601, on white. `name` is for messages.

    Raises:
        ImageTooLarge, ImageError: as `mien.images.decode.read_image`.
    """
    return np.asarray(_gray(decode(source, max_pixels=max_pixels, name=name)[0]))


def gray_face(encoded: bytes, size: int) -> NDArray[np.uint8]:
    """An image as data sets have it, uint8 (size, size): its middle square, gray, resized.

    A gray image of that size keeps its pixels. Messages of errors call it "the image".

    Raises:
        ImageTooLarge: the header announces more than 64 megapixels.
        ImageError: it cannot be read as an image.
    """
    gray = _gray(decode(encoded, max_pixels=_MAX_PIXELS, name="the image")[0])
    if gray.width != gray.height:
        side = min(gray.size)
        left, top = (gray.width - side) // 2, (gray.height - side) // 2
        gray = gray.crop((left, top, left + side, top + side))
    if gray.width != size:
        gray = gray.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(gray)


def _gray(image: Image.Image) -> Image.Image:
    return image if image.mode == "L" else image.convert("L")


def png(face: NDArray[np.uint8]) -> bytes:
    """A gray face (H, W) as PNG, without loss."""
    out = io.BytesIO()
    Image.fromarray(face).save(out, "PNG", compress_level=6)
    return out.getvalue()
