"""Annotated images in a folder; none overwrites another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mien.errors import UsageError, reason
from mien.images.decode import STDIN, ImageSource
from mien.inference.annotate import draw
from mien.inference.face import Face

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_QUALITY = 92


class AnnotatedFolder:
    """A folder of annotated images: a JPEG stays a JPEG, everything else becomes a PNG.

    Two sources of the same name get ``photo.jpg`` and ``photo-2.jpg``. Files that were there before are
    kept, and the new ones get the next number, unless `overwrite` is given. Only the pixels of the source
    are copied: no place, no time, no camera.

    Raises:
        UsageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be used as a folder to save to: {reason(error)}. Choose another."
            ) from error
        self._folder = folder
        self._overwrite = overwrite
        self._written: set[str] = set()

    def save(self, image: ImageSource, faces: Sequence[Face], source: str) -> Path:
        """Writes the image with its faces drawn, and returns the path.

        Raises:
            UsageError: the folder cannot be written to.
        """
        drawn = draw(image, faces)
        name = Path("stdin" if source == STDIN else source)
        suffix = ".jpg" if name.suffix.lower() in _JPEG else ".png"
        options = {"quality": _QUALITY} if suffix == ".jpg" else {}
        number = 1
        while True:
            path = self._folder / f"{name.stem}{'' if number == 1 else f'-{number}'}{suffix}"
            key = path.name.casefold()  # some file systems do not tell Photo.jpg from photo.jpg
            number += 1
            if key in self._written:
                continue
            opened = False
            try:
                with path.open("wb" if self._overwrite else "xb") as file:
                    opened = True
                    drawn.save(file, "JPEG" if suffix == ".jpg" else "PNG", **options)
            except FileExistsError:
                continue
            except OSError as error:
                if opened:
                    path.unlink(missing_ok=True)  # half of an image
                raise UsageError(
                    f"{path} cannot be written: {reason(error)}. Choose another place."
                ) from error
            self._written.add(key)
            return path
