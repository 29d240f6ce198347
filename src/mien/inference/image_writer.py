"""Annotated pictures in a folder, none written over another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.inference.annotate import annotate
from mien.inference.face import Face

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_QUALITY = 92


class AnnotatedFolder:
    """A folder that takes annotated pictures: a JPEG stays one, everything else becomes a PNG.

    Two sources of the same name get ``photo.jpg`` and ``photo-2.jpg``. Files that were there before are
    kept as well and numbered around, unless `overwrite` is given. Nothing of the source but its pixels is
    copied: no place, no time, no camera.

    Raises:
        UsageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be used as a folder to save to: {error}.") from error
        self._folder = folder
        self._overwrite = overwrite
        self._written: set[str] = set()

    def save(self, image_rgb: NDArray[np.uint8], faces: Sequence[Face], source: str) -> Path:
        """Writes the annotated picture (of pixels uint8 (H, W, 3)) and gives its path.

        Raises:
            UsageError: the folder cannot be written to.
        """
        picture = annotate(image_rgb, faces)
        name = Path(source)
        suffix = ".jpg" if name.suffix.lower() in _JPEG else ".png"
        options = {"quality": _QUALITY} if suffix == ".jpg" else {}
        number = 1
        while True:
            path = self._folder / f"{name.stem}{'' if number == 1 else f'-{number}'}{suffix}"
            key = path.name.casefold()  # some file systems do not tell Photo.jpg from photo.jpg
            number += 1
            if key in self._written:
                continue
            try:
                with path.open("wb" if self._overwrite else "xb") as file:
                    picture.save(file, "JPEG" if suffix == ".jpg" else "PNG", **options)
            except FileExistsError:
                continue
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error}.") from error
            self._written.add(key)
            return path
