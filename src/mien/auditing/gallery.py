"""A page to look through findings: faces and evidence inside, decisions by keyboard, saved as CSV."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mien.auditing.findings import Finding
from mien.data.table import FaceTable

_TEMPLATE = Path(__file__).parent / "gallery.html"
# So many of each kind are shown, the surest; the CSV lists all.
MOST_SHOWN = 400
_COLUMNS = 20


def page(table: FaceTable, findings: Sequence[Finding], most: int = MOST_SHOWN) -> str:
    """The page as HTML that needs no other file: all its faces are one PNG inside it.

    Shows the `most` surest findings of each kind, which must come surest first.
    """
    shown: list[Finding] = []
    by_kind: dict[str, int] = {}
    for each in findings:
        by_kind[each.kind] = by_kind.get(each.kind, 0) + 1
        if by_kind[each.kind] <= most:
            shown.append(each)
    places = sorted({each.index for each in shown})
    cell = {place: i for i, place in enumerate(places)}
    height, width = table.pixels.shape[1:]
    document = {
        "source": table.source,
        "classes": list(table.classes),
        "found": by_kind,
        "sheet": {"width": width, "height": height, "columns": _COLUMNS, "rows": -(-len(places) // _COLUMNS)},
        "findings": [
            [f.row, f.split, f.kind, f.score, f.evidence, f.label, f.suggested, cell[f.index]] for f in shown
        ],
    }
    # A "</script>" inside the text would end the script it stands in.
    data = json.dumps(document, ensure_ascii=False).replace("</", "<\\/")
    template = _TEMPLATE.read_text(encoding="utf-8")
    return template.replace("__SHEET__", _sheet(table, places)).replace("__DATA__", data)


def _sheet(table: FaceTable, places: list[int]) -> str:
    """The faces of these places side by side, as the base64 text of one PNG."""
    height, width = table.pixels.shape[1:]
    rows = max(1, -(-len(places) // _COLUMNS))
    cells = np.zeros((rows * _COLUMNS, height, width), np.uint8)
    cells[: len(places)] = table.pixels[places]
    sheet = cells.reshape(rows, _COLUMNS, height, width).swapaxes(1, 2).reshape(rows * height, -1)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(sheet)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
