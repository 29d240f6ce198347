"""A page to review findings: faces and evidence, decisions by keyboard, mouse and touch, saved as CSV."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mien.auditing.findings import Finding
from mien.data.table import FaceTable
from mien.templates import render

# The page shows at most this many findings of each kind; the CSV lists all.
MOST_SHOWN = 400
_COLUMNS = 20


def gallery_html(table: FaceTable, findings: Sequence[Finding], most: int = MOST_SHOWN) -> str:
    """The page as HTML that needs no other file: all its faces are in one PNG inside it.

    It shows the first `most` findings of each kind.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    shown: list[Finding] = []
    by_kind: dict[str, int] = {}
    for each in findings:
        by_kind[each.kind] = by_kind.get(each.kind, 0) + 1
        if by_kind[each.kind] <= most:
            shown.append(each)
    indices = sorted({each.index for each in shown})
    cell = {index: i for i, index in enumerate(indices)}
    height, width = table.pixels.shape[1:]
    document = {
        "source": table.source,
        "classes": list(table.classes),
        "found": by_kind,
        "sprite": {"width": width, "height": height, "columns": _COLUMNS},
        "findings": [
            [f.row, f.split, f.kind, f.score, f.evidence, f.label, f.suggested, cell[f.index]] for f in shown
        ],
    }
    return render("mien.auditing", "gallery.html", document=document, sprite=_sprite(table, indices))


def _sprite(table: FaceTable, indices: list[int]) -> str:
    """The faces side by side, as the base64 text of one PNG."""
    height, width = table.pixels.shape[1:]
    rows = max(1, -(-len(indices) // _COLUMNS))
    cells = np.zeros((rows * _COLUMNS, height, width), np.uint8)
    cells[: len(indices)] = table.pixels[indices]
    sprite = cells.reshape(rows, _COLUMNS, height, width).swapaxes(1, 2).reshape(rows * height, -1)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sprite)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
