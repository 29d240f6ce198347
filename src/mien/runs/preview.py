"""Faces before and after augmentation, as one PNG that contains its captions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from mien.errors import DataError, ImageError
from mien.files import staged
from mien.images.decode import decode

# The name of the preview in a run's folder.
PREVIEW = "batches.png"
_CHUNK = "mien"
# A face of 48 px is hard to see, so the PNG shows it enlarged to about this side.
_SHOWN_PX = 96


@dataclass(frozen=True, eq=False)
class Preview:
    """N faces, row after row of `columns`.

    Attributes:
        before: as in the data, uint8 (N, S, S).
        after: as the network is given them, uint8 (N, S, S).
        captions: the target of each, such as ``"happy"`` or, mixed, ``"happy 70 %, sad 30 %"``.
        columns: faces per row.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    captions: tuple[str, ...]
    columns: int

    @property
    def rows(self) -> int:
        """Number of rows of faces."""
        return -(-len(self.captions) // self.columns)


def write_preview(preview: Preview, path: Path) -> None:
    """Write a preview as a gray PNG: above each row of `after` its row of `before`. Whole or not at all."""
    side = preview.before.shape[-1]
    canvas = np.full((preview.rows * 2 * side, preview.columns * side), 255, np.uint8)
    for index, (before, after) in enumerate(zip(preview.before, preview.after, strict=True)):
        y, x = index // preview.columns * 2 * side, index % preview.columns * side
        canvas[y : y + side, x : x + side] = before
        canvas[y + side : y + 2 * side, x : x + side] = after
    factor = max(1, _SHOWN_PX // side)
    info = PngImagePlugin.PngInfo()
    facts = {"side": side, "factor": factor, "columns": preview.columns, "captions": preview.captions}
    info.add_text(_CHUNK, json.dumps(facts))
    with staged(path) as temporary:
        Image.fromarray(canvas.repeat(factor, 0).repeat(factor, 1)).save(temporary, "PNG", pnginfo=info)


def read_preview(path: Path) -> Preview:
    """The preview that `write_preview` wrote.

    Raises:
        DataError: the file is not a preview.
    """
    try:
        image, _ = decode(path)
        facts = json.loads(image.info[_CHUNK])
        canvas = np.asarray(image.convert("L"))
        side, factor, columns = facts["side"], facts["factor"], facts["columns"]
        faces = canvas[::factor, ::factor]
        cells = [divmod(index, columns) for index in range(len(facts["captions"]))]
        before, after = (
            np.stack([faces[(2 * y + below) * side :, x * side :][:side, :side] for y, x in cells])
            for below in (0, 1)
        )
    except (ImageError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a preview of augmented faces written by mien ({error!r}).") from error
    return Preview(before, after, tuple(facts["captions"]), columns)
