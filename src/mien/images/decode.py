"""The one reader of untrusted images: a source of any kind as RGB pixels, upright, or an error with a reason.

| source | result |
|---|---|
| EXIF orientation | applied: the image stands as the camera was held |
| transparency | laid on white |
| animation (GIF, WebP, APNG), several pages | the first frame or page |
| gray, 1 bit, palette, CMYK, YCbCr | RGB |
| 16 bits per channel | scaled to 8, not clipped |
| an ICC profile | ignored: pixels are treated as sRGB |
"""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien.errors import ImageError, ImageTooLarge
from mien.files import expanded
from mien.images.cost import check_cost, check_pixels, jpeg_cost
from mien.images.diagnose import FORMATS, describe_damage, describe_unknown
from mien.names import shown

MAX_PIXELS = 100_000_000
STDIN = "-"
# What Pillow's readers raise for a file that is cut short or damaged.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error)
# Formats whose decoders need the same time per pixel, whatever the file contains.
_LINEAR = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
# Pixels that are converted at once.
_STRIP_PIXELS = 1_000_000
_ORIENTATION = 0x0112  # EXIF tag
# Source: EXIF 2.32, table 6; the numbers are those of the tag, 1 is upright.
_UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: np.fliplr,
    3: partial(np.rot90, k=2),
    4: np.flipud,
    5: partial(np.swapaxes, axis1=0, axis2=1),
    6: partial(np.rot90, k=-1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: uint8 (H, W, 3) RGB, upright, read-only.
        source: where it came from, for messages and results.
    """

    pixels: NDArray[np.uint8]
    source: str

    def __repr__(self) -> str:
        return f"DecodedImage({self.source!r}, {self.width} x {self.height})"

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])


# A path ("~" is the home folder, "-" standard input), encoded bytes, an open binary file or stream, pixels
# (uint8, RGB (H, W, 3), RGBA (H, W, 4) or gray (H, W)), a Pillow image, or an image that is decoded already.
ImageSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | BinaryIO
    | NDArray[Any]
    | Image.Image
    | DecodedImage
)
EncodedSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """The image of any source in RGB.

    A stream is read from its beginning, or from where it is if it cannot be rewound (a pipe, standard
    input). For encoded images Pillow's own limit holds beside `max_pixels`: twice
    `PIL.Image.MAX_IMAGE_PIXELS`, or 179 million pixels.

    Raises:
        ImageTooLarge: the header announces more pixels than that; nothing has been decoded.
        ImageError: the source is missing, a folder, empty, of a format that mien does not read, cut short or
            damaged; or its type is not one of `ImageSource`.
    """
    if isinstance(source, DecodedImage):
        return source
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, Image.Image):
        return from_pil(source)
    pixels, _, name = _read(source, max_pixels)
    return _image(_rgb(pixels), name)


def decode(
    source: EncodedSource, *, max_pixels: int = MAX_PIXELS, name: str | None = None
) -> tuple[Image.Image, str]:
    """An encoded image as a Pillow image of mode RGB or L, upright and without transparency, and its name.

    `name` replaces the source's own in messages.

    Raises:
        ImageTooLarge, ImageError: as `read_image`.
    """
    pixels, info, name = _read(source, max_pixels, name)
    image = Image.fromarray(pixels)
    image.info = info
    return image, name


def _read(
    source: EncodedSource, max_pixels: int, name: str | None = None
) -> tuple[NDArray[np.uint8], dict[Any, Any], str]:
    """Pixels in RGB (H, W, 3) or gray (H, W), what the file says beside them, and the source's name."""
    own_name, opened = _open(source)
    name = name or own_name
    with opened as file:
        if not file.read(1):
            raise ImageError(f"{name} is empty (0 bytes).")
        file.seek(0)
        return *_decode(file, name, max_pixels), name


def decoding_cost(data: bytes) -> float:
    """Pixels to decode, those of further scans of a JPEG included, from the header of an encoded image.

    It is infinite for formats whose time per pixel is not known, and 0 for a file of no known format.
    """
    Image.init()
    try:
        with _quiet_pillow, Image.open(io.BytesIO(data), formats=_LINEAR) as image:
            pixels = image.width * image.height
    except (Image.DecompressionBombError, *_DAMAGE):
        start = data[:16].ljust(16, b"\0")
        others = (Image.OPEN[name][1] for name in _formats(len(Image.OPEN)) if name not in _LINEAR)
        return math.inf if any(accept is None or accept(start) for accept in others) else 0.0
    return jpeg_cost(io.BytesIO(data), pixels)[1] if image.format in ("JPEG", "MPO") else pixels


def from_array(pixels: NDArray[Any], source: str = "<array>") -> DecodedImage:
    """The image of an array: RGB (H, W, 3), RGBA (H, W, 4; laid on white) or gray (H, W) or (H, W, 1).

    OpenCV's arrays are BGR: turn them with ``image[..., ::-1]``.

    Raises:
        ImageError: the array is not uint8, is empty, or has another shape.
    """
    if pixels.dtype != np.uint8:
        raise ImageError(
            f"{source} is {pixels.dtype}; an image is uint8, 0 to 255. {_to_uint8(pixels.dtype)}"
        )
    if 0 in pixels.shape:
        raise ImageError(f"{source} of shape {pixels.shape} has no pixels.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = np.asarray(_on_white(Image.fromarray(np.ascontiguousarray(pixels))))
    elif pixels.ndim != 3 or pixels.shape[2] != 3:
        hint = " Move the channels last." if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) else ""
        raise ImageError(
            f"{source} has the shape {pixels.shape}; an image is (H, W, 3), (H, W, 4) or (H, W).{hint}"
        )
    return _image(pixels, source)


def from_pil(image: Image.Image, source: str | None = None) -> DecodedImage:
    """The image of a Pillow image of any mode but float and 32-bit, its EXIF orientation applied.

    Raises:
        ImageError: it cannot be decoded, or its mode has no known scale.
    """
    name = source or str(getattr(image, "filename", "")) or "<image>"
    with _quiet_pillow:
        return _image(_rgb(_loaded(image, name, None)), name)


def _open(source: EncodedSource) -> tuple[str, AbstractContextManager[BinaryIO]]:
    """A name for messages, and a seekable file to be used in a with block."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "<bytes>", io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        if os.fspath(source) == STDIN:
            return "<stdin>", io.BytesIO(sys.stdin.buffer.read())
        return shown(source), _open_path(source)
    if not hasattr(source, "read"):
        raise ImageError(
            "an image is a path, bytes, an open binary file, a NumPy array or a Pillow image, not "
            f"{type(source).__name__}."
        )
    name = getattr(source, "name", None)
    name = shown(name) if isinstance(name, str) else "<stream>"
    try:
        with suppress(AttributeError, OSError):  # a pipe has no beginning to go to
            source.seek(0)
        content = source.read()
    except (OSError, ValueError) as error:  # the latter for a closed file
        raise ImageError(f"{name} cannot be read: {error}.") from error
    if not isinstance(content, bytes):
        raise ImageError(f"{name} is open as text. Open it in binary mode: open(path, 'rb').")
    return name, io.BytesIO(content)


def _open_path(source: str | os.PathLike[str]) -> BinaryIO:
    try:
        path = expanded(source)
        if path.is_dir():
            if not os.access(path, os.R_OK | os.X_OK):
                raise ImageError(f"{shown(source)} is a folder that cannot be listed: no permission.")
            raise ImageError(f"{shown(source)} is a folder. Name the images in it, or use mien.images.find.")
        return path.open("rb")
    except FileNotFoundError:
        hint = " It looks like an address; save the image to a file first." if "://" in str(source) else ""
        raise ImageError(f"{shown(source)} does not exist.{hint}") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{shown(source)} cannot be opened: {reason}.") from error


def _decode(file: BinaryIO, name: str, max_pixels: int) -> tuple[NDArray[np.uint8], dict[Any, Any]]:
    Image.init()
    _know_heif()
    with _quiet_pillow:
        try:
            image = Image.open(file, formats=_formats(len(Image.OPEN)))
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"{name} is too large: {error}") from error
        except UnidentifiedImageError as error:
            raise ImageError(describe_unknown(name, file)) from error
        except Exception as error:  # decoders raise errors of any kind
            raise ImageError(describe_damage(name, None, file, error)) from error
        with image:
            check_pixels(image, name, file, max_pixels)
            check_cost(image, name, file)
            return _loaded(image, name, file), image.info


@cache
def _know_heif() -> None:
    """Let Pillow read HEIC and HEIF, where pillow-heif is installed."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)


@lru_cache(maxsize=1)
def _formats(known: int) -> tuple[str, ...]:  # noqa: ARG001 - a plugin may add to Pillow's formats later
    """The formats to try, as far as this Pillow knows them."""
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _loaded(image: Image.Image, name: str, file: BinaryIO | None) -> NDArray[np.uint8]:
    """The whole image, decoded and upright: RGB (H, W, 3), or (H, W) where it is gray.

    Raises:
        ImageTooLarge: the memory is full.
        ImageError: it is cut short or damaged, or its mode has no known scale.
    """
    try:
        image.load()
        return _upright(image, _pixels(image, name))
    except ImageError:
        raise
    except MemoryError:
        raise ImageTooLarge(f"{name} needs more memory than there is. Shrink it first.") from None
    except Exception as error:  # decoders raise errors of any kind
        raise ImageError(describe_damage(name, image, file, error)) from error


def _upright(image: Image.Image, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block; the pixels are whole and stay as they are stored
        return pixels
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _pixels(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """The pixels in RGB or gray, transparent parts laid on white; converted in strips to save memory.

    Raises:
        ImageError: nothing defines how its values map to brightness.
    """
    height = max(1, _STRIP_PIXELS // image.width)
    strips = (
        np.asarray(_plain(image.crop((0, top, image.width, min(top + height, image.height))), image, name))
        for top in range(0, image.height, height)
    )
    first = next(strips)
    if len(first) == image.height:
        return first
    pixels = np.empty((image.height, *first.shape[1:]), np.uint8)
    pixels[: len(first)] = first
    top = len(first)
    for strip in strips:
        pixels[top : top + len(strip)] = strip
        top += len(strip)
    return pixels


def _plain(strip: Image.Image, whole: Image.Image, name: str) -> Image.Image:
    """A strip of an image in RGB or L, transparent parts laid on white."""
    if strip.mode in ("RGB", "L") and "transparency" not in whole.info:
        return strip
    if strip.mode.startswith("I;16") or (strip.mode == "I" and whole.format in ("PPM", "PNG")):
        # 0..65535 to 0..255, rounded: 65535 / 255 is 257.
        return Image.fromarray(((np.asarray(strip).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if strip.mode in ("I", "F", "LAB"):
        what = {"I": "32-bit integers", "F": "floating-point values", "LAB": "L*a*b* colours"}[strip.mode]
        raise ImageError(f"{name} contains {what}; save it with 8 or 16 bits per channel, gray or RGB.")
    if whole.has_transparency_data:
        return _on_white(strip if strip.mode == "RGBA" else strip.convert("RGBA"))
    return strip.convert("L" if strip.mode == "1" else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """An RGBA image laid on white, as most programs show it."""
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image)
    return white


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def _image(pixels: NDArray[np.uint8], source: str) -> DecodedImage:
    view = pixels.view()
    view.flags.writeable = False
    return DecodedImage(view, source)


def _to_uint8(dtype: np.dtype[Any]) -> str:
    """How to make uint8 of an array of that type."""
    if dtype.kind == "f":
        return "If its values lie in 0..1: (array * 255).round().astype(numpy.uint8)."
    if dtype == np.uint16:
        return "If it uses all 16 bits: (array >> 8).astype(numpy.uint8)."
    return "Convert it with .astype(numpy.uint8) once its values lie in 0..255."


class _Quiet:
    """A with block without Pillow's warnings: what they announce is handled here or does not matter.

    The filter is set by the first thread that enters and taken back by the last that leaves: threads that
    each saved and restored Python's one list of filters could leave it changed.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_quiet_pillow = _Quiet()
