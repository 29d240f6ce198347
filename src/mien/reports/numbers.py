"""The numbers of a part: as plain JSON, and as tables for those who read rather than see a figure."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# A table longer than this is for programs; the page gives its first rows and names the JSON.
_MOST_ROWS = 60


def plain(value: Any) -> Any:
    """A value as JSON knows it: NumPy's types as Python's, tuples as lists, what is no finite number as None.

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
    raise TypeError(f"{type(value).__name__} is no plain value: {value!r}")


def as_html(numbers: Any) -> str:
    """Plain numbers as HTML: tables where they have the form of one, else their JSON."""
    if not isinstance(numbers, Mapping) or _is_table(numbers):
        return _one(numbers)
    # Single values together, then each that holds more under its own name.
    alone = {name: each for name, each in numbers.items() if not isinstance(each, dict | list)}
    parts = [_one(alone)] if alone else []
    for name, each in numbers.items():
        if name not in alone:
            parts.append(f"<p>{html.escape(_words(name))}</p>\n{_one(each)}")
    return "\n".join(parts)


def _one(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        if all(not isinstance(each, dict | list) for each in value.values()):
            return _table([], [[_words(name), each] for name, each in value.items()])
        if _is_table(value):
            columns = _columns(list(value.values()))
            rows = [[_words(name), *(row.get(c) for c in columns)] for name, row in value.items()]
            return _table(["", *columns], rows)
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        columns = _columns(value)
        if not any(isinstance(row.get(c), dict | list) for row in value for c in columns):
            return _table(columns, [[row.get(c) for c in columns] for row in value], heads=False)
    text = json.dumps(value, ensure_ascii=False)
    return f"<pre>{html.escape(text if len(text) < 2000 else text[:2000] + ' …')}</pre>"


def _is_table(value: Mapping[str, Any]) -> bool:
    rows = list(value.values())
    return bool(rows) and all(
        isinstance(row, dict) and not any(isinstance(each, dict | list) for each in row.values())
        for row in rows
    )


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, heads: bool = True) -> str:
    head = "".join(f'<th scope="col">{html.escape(_words(name))}</th>' for name in columns)
    lines = []
    for row in rows[:_MOST_ROWS]:
        first = f'<th scope="row">{_text(row[0])}</th>' if heads else _cell(row[0])
        lines.append(f"<tr>{first}{''.join(_cell(each) for each in row[1:])}</tr>")
    more = f"<p>{len(rows) - _MOST_ROWS:,} more rows are in the JSON.</p>" if len(rows) > _MOST_ROWS else ""
    body = "\n".join(lines)
    thead = f"<thead><tr>{head}</tr></thead>\n" if columns else ""
    return f'<div class="scroll"><table>\n{thead}<tbody>\n{body}\n</tbody>\n</table></div>{more}'


def _cell(value: Any) -> str:
    mark = ' class="number"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
    return f"<td{mark}>{_text(value)}</td>"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return html.escape(str(value))


def _words(name: str) -> str:
    """A key as people write it."""
    return name.replace("_", " ")
