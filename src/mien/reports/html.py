"""The HTML of a document: one page that needs no other file, its images and its style inside."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.images.decode import decode
from mien.plotting import DPI
from mien.reports.document import Document
from mien.templates import render

# A CSS pixel is 1/96 inch; figures are shown a little larger than they were drawn.
_CSS_PIXELS_PER_INCH = 104
# A table longer than this is for programs: the page shows its first rows and names the JSON.
_MOST_ROWS = 60
_MOST_CHARACTERS = 2000


@dataclass(frozen=True)
class EmbeddedImage:
    """An image as a data URL, and its size on the page in CSS pixels."""

    source: str
    width: int
    height: int


@dataclass(frozen=True)
class PageSection:
    """One section of a page; all texts are plain, not HTML, except `numbers`.

    Attributes:
        anchor, title, text, report_place: as in `mien.reports.document.Section`.
        number: such as ``"2.3"``.
        image, alt: the figure, and its description; None and empty for a section without one.
        files: the names of the files beside the page.
        numbers: HTML of the numbers, safe to insert; empty for a section without any.
    """

    anchor: str
    number: str
    title: str
    text: str
    report_place: str
    image: EmbeddedImage | None
    alt: str
    files: str
    numbers: str


@dataclass(frozen=True)
class PageChapter:
    """A chapter of a page: its anchor, heading, text (not HTML), and sections."""

    anchor: str
    title: str
    text: str
    sections: Sequence[PageSection]


def page_html(document: Document, chapters: Sequence[PageChapter]) -> str:
    """The page. Chapters and sections are numbered where there is more than one chapter.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    sections = [section for chapter in chapters for section in chapter.sections]
    counterparts = {
        place: [section for section in sections if section.report_place == place]
        for place in document.report_places
    }
    return render(
        "mien.reports", "page.html", document=document, chapters=chapters, counterparts=counterparts
    )


def embed_image(path: Path) -> EmbeddedImage:
    """A PNG file as a data URL: PNG or lossless WebP, whichever is smaller."""
    content, kind = path.read_bytes(), "png"
    image, _ = decode(content, name=str(path))
    packed = io.BytesIO()
    image.save(packed, "WEBP", lossless=True, method=4)
    if packed.tell() < len(content):
        kind, content = "webp", packed.getvalue()
    width, height = (round(pixels * _CSS_PIXELS_PER_INCH / DPI) for pixels in image.size)
    data = base64.b64encode(content).decode("ascii")
    return EmbeddedImage(f"data:image/{kind};base64,{data}", width, height)


def plain(value: Any) -> Any:
    """A value for JSON: NumPy types as Python's, tuples as lists, numbers that are not finite as None.

    Raises:
        TypeError: a value of another type.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Sequence):
        return [plain(each) for each in value]
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def numbers_html(numbers: Any) -> Any:
    """Plain numbers as HTML, marked as safe: tables where they have the form of one, else their JSON.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    blocks = []
    if not isinstance(numbers, Mapping) or _is_table(numbers):
        blocks.append(_block(numbers))
    else:
        # Single values together, then each value that contains more under its own name.
        single = {name: each for name, each in numbers.items() if not isinstance(each, dict | list)}
        blocks += [_block(single)] if single else []
        blocks += [_block(each, _words(name)) for name, each in numbers.items() if name not in single]
    text = render("mien.reports", "numbers.html", blocks=blocks)
    from markupsafe import Markup  # comes with jinja2, which `render` needs

    return Markup(text)


def _block(value: Any, title: str = "") -> dict[str, Any]:
    """What the template needs to draw one table, or one text of JSON."""
    columns: list[str] = []
    rows: list[list[Any]] = []
    row_headers = True
    if isinstance(value, Mapping) and _is_table(value):
        columns = _columns(list(value.values()))
        rows = [[_words(name), *(row.get(column) for column in columns)] for name, row in value.items()]
        columns = ["", *columns]
    elif isinstance(value, Mapping) and value and not any(map(_is_nested, value.values())):
        rows = [[_words(name), each] for name, each in value.items()]
    elif isinstance(value, list) and value and all(_is_row(each) for each in value):
        columns, row_headers = _columns(value), False
        rows = [[row.get(column) for column in columns] for row in value]
    text = "" if rows else json.dumps(value, ensure_ascii=False)
    return {
        "title": title,
        "text": text if len(text) < _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + " …",
        "columns": [_words(name) for name in columns],
        "rows": [[_cell(each) for each in row] for row in rows[:_MOST_ROWS]],
        "row_headers": row_headers,
        "more_rows": f"{len(rows) - _MOST_ROWS:,}" if len(rows) > _MOST_ROWS else "",
    }


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not any(map(_is_nested, value.values()))


def _is_table(value: Mapping[str, Any]) -> bool:
    return bool(value) and all(map(_is_row, value.values()))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> tuple[str, bool]:
    """The text of a cell, and whether it is a number."""
    if value is None:
        return "–", False
    if isinstance(value, bool):
        return "yes" if value else "no", False
    if isinstance(value, int):
        return f"{value:,}", True
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}", True
    return str(value), False


def _words(name: str) -> str:
    """A key as people write it."""
    return name.replace("_", " ")
