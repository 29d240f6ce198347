"""One HTML page that needs no other file: its pictures and its style are inside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.images.decode import decode
from mien.plotting import DPI

_STYLE = Path(__file__).parent / "page.css"
# A CSS pixel is 1/96 inch; figures are shown a little larger than they were drawn.
_CSS_PIXELS_AN_INCH = 104

_NOTE = (
    "This is about apparent expressions: how faces look to people. It says nothing about what a person feels."
)


@dataclass(frozen=True)
class PageSection:
    """One part of a page: its anchor, heading, text (not HTML), a note beside it, and its body (HTML)."""

    anchor: str
    title: str
    text: str
    body: str
    note: str = ""


@dataclass(frozen=True)
class PageChapter:
    """A chapter of a page: its anchor, heading, text (not HTML), and sections."""

    anchor: str
    title: str
    text: str
    sections: Sequence[PageSection]


def picture(path: Path, alt: str) -> str:
    """An img element that carries the picture itself, as PNG or as lossless WebP, whichever is smaller."""
    content = path.read_bytes()
    figure, _ = decode(content)
    packed = io.BytesIO()
    figure.save(packed, "WEBP", lossless=True, method=4)
    kind = "png"
    if packed.tell() < len(content):
        kind, content = "webp", packed.getvalue()
    width, height = (round(pixels * _CSS_PIXELS_AN_INCH / DPI) for pixels in figure.size)
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<img alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'src="data:image/{kind};base64,{data}">'
    )


def page(
    title: str,
    lead: str,
    groups: Sequence[PageChapter],
    *,
    facts: Mapping[str, str] | None = None,
    before: str = "",
) -> str:
    """The page as HTML: title, a lead sentence, facts, contents, what comes `before` (HTML), the chapters.

    Chapters and sections are numbered where there is more than one chapter.
    """
    alone = len(groups) == 1
    bodies = "\n".join(_group(group, None if alone else i) for i, group in enumerate(groups, 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n"
        '</head>\n<body>\n<a class="skip" href="#content">To the content</a>\n'
        f"<header>\n<h1>{html.escape(title)}</h1>\n{_paragraphs(lead, 'lead')}\n"
        f"{_facts(facts or {})}</header>\n"
        f"{_contents(groups, alone=alone)}\n"
        f'<main id="content">\n{before}{bodies}\n</main>\n<footer>{_NOTE}</footer>\n</body>\n</html>\n'
    )


def link_to(anchor: str, text: str) -> str:
    """A link to an anchor of the same page."""
    return f'<a href="#{html.escape(anchor)}">{html.escape(text)}</a>'


def numbered(groups: Sequence[PageChapter]) -> dict[str, str]:
    """The number of each section, by anchor: ``"2.3"``; where there is one chapter, ``"3"``."""
    alone = len(groups) == 1
    return {
        section.anchor: f"{j}" if alone else f"{i}.{j}"
        for i, group in enumerate(groups, 1)
        for j, section in enumerate(group.sections, 1)
    }


def _contents(groups: Sequence[PageChapter], *, alone: bool) -> str:
    numbers = numbered(groups)
    lists = []
    for i, group in enumerate(groups, 1):
        items = "\n".join(
            f"<li>{link_to(s.anchor, s.title if alone else f'{numbers[s.anchor]} {s.title}')}</li>"
            for s in group.sections
        )
        if alone:
            lists.append(f"<ul>\n{items}\n</ul>")
        else:
            head = f"{i} {group.title}"
            lists.append(f"<li>{link_to(group.anchor, head)}\n<ul>\n{items}\n</ul></li>")
    inside = lists[0] if alone else "<ul>\n" + "\n".join(lists) + "\n</ul>"
    return f'<nav aria-label="Contents">\n<p class="head">Contents</p>\n{inside}\n</nav>'


def _group(group: PageChapter, number: int | None) -> str:
    level = "h2" if number is None else "h3"
    sections = "\n".join(
        _section(section, level, "" if number is None else f"{number}.{j} ")
        for j, section in enumerate(group.sections, 1)
    )
    head = ""
    if number is not None:
        head = f'<h2 id="{group.anchor}">{number} {html.escape(group.title)}</h2>\n'
    return f'<div class="chapter">\n{head}{_paragraphs(group.text, "about")}\n{sections}\n</div>'


def _section(section: PageSection, level: str, number: str) -> str:
    note = f'<p class="note">{html.escape(section.note)}</p>\n' if section.note else ""
    return (
        f'<section id="{section.anchor}">\n<{level}>{number}{html.escape(section.title)}</{level}>\n{note}'
        f"{_paragraphs(section.text)}\n{section.body}\n</section>"
    )


def _paragraphs(text: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    parts = [part.strip() for part in text.split("\n\n") if part.strip()]
    return "\n".join(f"<p{mark}>{html.escape(part)}</p>" for part in parts)


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    rows = "\n".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())
    return f"<dl>\n{rows}\n</dl>\n"
