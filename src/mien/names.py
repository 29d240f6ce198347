"""Names from outside, such as those of files, for a terminal, JSON and CSV; `mien.templates` escapes HTML.

A file may have any name: escape sequences that a terminal obeys, line ends that break a table, bytes that are
not UTF-8, and text that a spreadsheet computes.
"""

from __future__ import annotations

import json
import re
from typing import Any

# C0 and C1 controls, line and paragraph separators, marks that turn the direction of text, lone surrogates.
_CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROL}]")
_UNSAFE_IN_TEXT = re.compile(f"(?!\n)[{_CONTROL}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# How a spreadsheet recognizes a formula, full-width signs included.
# Source: OWASP, "CSV Injection". The apostrophe is in the list so that `from_csv_cell` can take one away.
_FORMULA = tuple("=+-@'\uff1d\uff0b\uff0d\uff20")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?|[+-]?(inf|nan)")
_LONGEST_NAME = 255
_LONGEST_TEXT = 2000


def shown(name: object, longest: int = _LONGEST_NAME) -> str:
    """A name in one line, safe to print: control characters escaped, the middle of a long one left out.

    >>> shown("a\\x1b[31m.jpg")
    'a\\\\x1b[31m.jpg'
    """
    return _UNSAFE.sub(_escape, _shortened(str(name), longest))


def shown_text(text: str) -> str:
    """A message that contains names, safe to print; its line ends stay."""
    return _UNSAFE_IN_TEXT.sub(_escape, _shortened(text, _LONGEST_TEXT))


def json_text(value: Any, **options: Any) -> str:
    """A value as JSON that is valid UTF-8: bytes of a name that are not Unicode are escaped, ``\\udc80``.

    `json.loads` gives the same value back. `options` are those of `json.dumps`.
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def csv_cell(value: Any) -> Any:
    """A value for a cell of CSV: one line, valid UTF-8, and nothing that a spreadsheet computes.

    Text that a spreadsheet would compute gets an apostrophe in front. Text with control characters, with
    bytes that are not Unicode, or with a quote in front is written as a JSON string. Numbers stay.
    `from_csv_cell` gives the text back.
    """
    if not isinstance(value, str):
        return value
    if _UNSAFE.search(value) or value.startswith('"'):
        text = json.dumps(value, ensure_ascii=False)
        return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def from_csv_cell(cell: str) -> str:
    """The text that `csv_cell` wrote.

    >>> from_csv_cell(csv_cell("=cmd.jpg"))
    '=cmd.jpg'
    """
    if cell.startswith('"'):
        return str(json.loads(cell))
    return cell.removeprefix("'")


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    start, end = text[: longest // 2], text[-longest // 4 :]
    return f"{start}... ({len(text):,} characters) ...{end}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
