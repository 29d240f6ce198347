"""Encoded pictures of single faces to gray squares and back."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mien.errors import ImageError, ImageTooLarge

# A face is at most a few thousand pixels wide; a header that announces more than this is no face.
_MOST_PIXELS = 64_000_000
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def gray_face(encoded: bytes, size: int) -> NDArray[np.uint8]:
    """The picture as uint8 (size, size): upright by its EXIF, cut to its middle square, gray by ITU-R 601.

    A gray picture of that size keeps its pixels. Transparency is laid on black; 16 bits are scaled to 8.

    Raises:
        ImageTooLarge: the header announces more than 64 megapixels.
        ImageError: no picture, or one that is cut short.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ImageTooLarge(f"{picture.width} x {picture.height} pixels is no picture of one face")
            return _gray_square(picture, size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(str(error)) from error
    except UnidentifiedImageError:
        raise ImageError(f"not a picture that can be decoded ({len(encoded):,} bytes)") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise
        raise ImageError(f"damaged picture: {error}") from error


def _gray_square(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in _SIXTEEN_BIT:
        wide = np.asarray(upright).astype(np.float64)
        upright = Image.fromarray(np.clip(np.rint(wide / 257), 0, 255).astype(np.uint8))
    elif upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    gray = upright.convert("L")
    if gray.width != gray.height:
        side = min(gray.size)
        left, top = (gray.width - side) // 2, (gray.height - side) // 2
        gray = gray.crop((left, top, left + side, top + side))
    if gray.width != size:
        gray = gray.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(gray)


def png(face: NDArray[np.uint8]) -> bytes:
    """The gray face (H, W) as PNG, without loss."""
    out = io.BytesIO()
    Image.fromarray(face).save(out, "PNG", compress_level=6)
    return out.getvalue()
