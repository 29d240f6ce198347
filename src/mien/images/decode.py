"""A photo from anywhere as RGB pixels, upright; what cannot be read is said, never guessed.

| what is met | what comes back |
|---|---|
| EXIF orientation | applied: the picture stands as the camera was held |
| transparency | laid on white |
| animation (GIF, WebP, APNG), several pages | the first frame or page |
| gray, 1 bit, palette, CMYK, YCbCr | RGB |
| 16 bits a channel | scaled to 8, not clipped |
| an ICC profile | ignored: pixels are taken for sRGB |
"""

from __future__ import annotations

import glob
import io
import os
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien.errors import ImageError, ImageTooLarge
from mien.images.diagnose import FORMATS, describe_damage, describe_unknown
from mien.images.rgb import on_white, to_rgb, upright

MAX_PIXELS = 100_000_000
# Those of HEIC are among them, so that such photos in a folder are reported, not passed over.
SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".tif", ".tiff",
    ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".heic", ".heif",
))  # fmt: skip

# What Pillow's readers raise for a file that is cut short or damaged.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error)


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded picture.

    Attributes:
        pixels: uint8 (H, W, 3) RGB, upright, read-only.
        source: where it came from, for messages and results.
    """

    pixels: NDArray[np.uint8]
    source: str

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])


def read_image(source: str | Path | bytes | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """The picture in a file, in encoded bytes or in a binary stream (read to its end).

    Beside `max_pixels` Pillow's own limit holds, twice `PIL.Image.MAX_IMAGE_PIXELS` or 179 million pixels.

    Raises:
        ImageTooLarge: its header announces more than that; nothing has been decoded.
        ImageError: it is missing, a folder, empty, in no format that mien reads, cut short or damaged.
    """
    name, opened = _open(source)
    with opened as file:
        if not file.read(1):
            raise ImageError(f"{name} is empty (0 bytes).")
        file.seek(0)
        return _decode(file, name, max_pixels)


def from_array(pixels: NDArray[Any], source: str = "<array>") -> DecodedImage:
    """The picture of an array: RGB (H, W, 3), RGBA (H, W, 4; laid on white) or gray (H, W) or (H, W, 1).

    OpenCV's arrays are BGR: turn them with ``image[..., ::-1]``.

    Raises:
        ImageError: the array is not uint8, is empty, or has another shape.
    """
    if pixels.dtype != np.uint8:
        raise ImageError(
            f"{source} holds {pixels.dtype}; a picture is uint8, 0 to 255. {_to_uint8(pixels.dtype)}"
        )
    if 0 in pixels.shape:
        raise ImageError(f"{source} of shape {pixels.shape} has no pixels.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = np.asarray(on_white(Image.fromarray(np.ascontiguousarray(pixels))))
    elif pixels.ndim != 3 or pixels.shape[2] != 3:
        hint = " Move the channels last." if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) else ""
        raise ImageError(
            f"{source} has the shape {pixels.shape}; a picture is (H, W, 3), (H, W, 4) or (H, W).{hint}"
        )
    return _picture(pixels, source)


def from_pil(image: Image.Image, source: str | None = None) -> DecodedImage:
    """The picture of a Pillow image of any mode but float and 32-bit, its EXIF orientation applied.

    Raises:
        ImageError: it cannot be decoded, or its mode has no known scale.
    """
    name = source or str(getattr(image, "filename", "")) or "<image>"
    with _quiet_pillow():
        try:
            image.load()
        except _DAMAGE as error:
            raise ImageError(describe_damage(name, image, None, error)) from error
        return _picture(np.asarray(to_rgb(upright(image), name)), name)


def find_images(sources: Iterable[str | Path]) -> list[Path]:
    """The pictures of files, folders and globs, each once, in the order of the sources.

    A folder gives the files in it and below that end like a picture (`SUFFIXES`), sorted, hidden ones left
    out; so does a glob, where ``**`` goes down folders. A name without ``*``, ``?`` or ``[`` that is no
    folder is taken as it is, whatever its ending: `read_image` says what is wrong with it.

    Raises:
        ImageError: a folder or a glob has no picture in it.
    """
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            pictures = _in_folder(path)
        elif glob.has_magic(str(path)) and not path.exists():
            matches = (Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207
            pictures = sorted(match for match in matches if _is_picture(match) and match.is_file())
        else:
            pictures = [path]
        if not pictures:
            raise ImageError(
                f"{source} has no pictures: nothing there ends in {', '.join(sorted(SUFFIXES))}."
            )
        found.update(dict.fromkeys(pictures))
    return list(found)


def _in_folder(folder: Path) -> list[Path]:
    """The pictures in a folder and below, sorted, without hidden files and folders."""
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in files if _is_picture(Path(name))]
    return sorted(found)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _open(source: str | Path | bytes | BinaryIO) -> tuple[str, AbstractContextManager[BinaryIO]]:
    """A name for messages, and a seekable file to be used in a with block."""
    if isinstance(source, bytes):
        return "<bytes>", io.BytesIO(source)
    if not isinstance(source, (str, Path)):
        name = getattr(source, "name", None)
        return name if isinstance(name, str) else "<stream>", nullcontext(io.BytesIO(source.read()))
    path = Path(source)
    if path.is_dir():
        raise ImageError(f"{source} is a folder; name the pictures in it, or let find_images find them.")
    try:
        return str(source), path.open("rb")
    except FileNotFoundError:
        hint = " It looks like an address; save the picture to a file first." if "://" in str(source) else ""
        raise ImageError(f"{source} does not exist.{hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{source} cannot be opened: {reason}.") from error


def _decode(file: BinaryIO, name: str, max_pixels: int) -> DecodedImage:
    """The picture in an open file.

    Raises:
        ImageError: as `read_image`.
    """
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]
    with _quiet_pillow():
        try:
            image = Image.open(file, formats=formats)
        except Image.DecompressionBombError as error:
            raise ImageTooLarge(f"{name} is too large: {error}") from error
        except UnidentifiedImageError as error:
            raise ImageError(describe_unknown(name, file)) from error
        except _DAMAGE as error:
            raise ImageError(describe_damage(name, None, file, error)) from error
        with image:
            _check_size(image, name, max_pixels)
            try:
                image.load()
            except _DAMAGE as error:
                raise ImageError(describe_damage(name, image, file, error)) from error
            return _picture(np.asarray(to_rgb(upright(image), name)), name)


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    """Raises ImageTooLarge for a header that announces too many pixels."""
    if image.width * image.height > max_pixels:
        raise ImageTooLarge(
            f"{name} announces {image.width:,} x {image.height:,} pixels, more than the {max_pixels:,} "
            "allowed. Shrink it, or allow more with max_pixels."
        )


def _picture(pixels: NDArray[np.uint8], source: str) -> DecodedImage:
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


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """A with block without Pillow's warnings: what they announce is handled here or does not matter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
