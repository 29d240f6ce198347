"""A document of the study on disk: each figure as PNG and SVG, its numbers as JSON, one page of all."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mien
from mien.errors import DataError
from mien.plotting import new_figure, save
from mien.reports.document import Document, Section
from mien.reports.html import PageChapter, PageSection, link_to, numbered, page, picture
from mien.reports.numbers import as_html, plain

# Of the JSON; it changes when a key does.
FORMAT = 1


def write(
    document: Document,
    folder: Path,
    *,
    begin: Callable[[str], None] = lambda _: None,
    done: Callable[[str], None] = lambda _: None,
) -> Path:
    """The path of NAME.html in the folder; beside it are each figure as PNG and SVG, and NAME.json.

    Args:
        document: what to write. Chapters without a part are left out.
        folder: made if it is not there. Files of those names are replaced.
        begin: told the title of each chapter as it begins.
        done: told the name of each part when its files are written.

    Raises:
        DataError: the folder cannot be made, or two parts have one name.
        MissingExtra: matplotlib is not installed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error}. Choose another folder with --out.") from error
    groups: list[PageChapter] = []
    numbers: dict[str, Any] = {}
    places: dict[str, list[str]] = {}
    for chapter in document.chapters:
        begin(chapter.title)
        sections = []
        for section in chapter.sections:
            if section.name in numbers:
                raise DataError(f"two parts of {document.name} are called {section.name!r}.")
            numbers[section.name] = plain(section.numbers)
            sections.append(_section(section, folder, numbers[section.name], f"{document.name}.json"))
            if section.report:
                places.setdefault(section.report, []).append(section.name)
            done(section.name)
        if sections:
            groups.append(PageChapter(chapter.name, chapter.title, chapter.text, sections))
    _write_numbers(document, folder, groups, numbers)
    before = _counterparts(document, groups, places) if document.sought else ""
    written = folder / f"{document.name}.html"
    text = page(document.title, document.lead, groups, facts=document.facts, before=before)
    written.write_text(text, encoding="utf-8")
    return written


def _write_numbers(
    document: Document, folder: Path, groups: list[PageChapter], numbers: Mapping[str, Any]
) -> None:
    content = {
        "format": FORMAT,
        "mien": mien.__version__,
        **plain(document.about),
        "chapters": {group.anchor: [section.anchor for section in group.sections] for group in groups},
        "sections": numbers,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / f"{document.name}.json").write_text(text, encoding="utf-8")


def _section(section: Section, folder: Path, numbers: Any, json_name: str) -> PageSection:
    figure, axes = new_figure(*section.size)
    section.draw(axes)
    png, svg = save(figure, folder, section.name)
    files = f"{png.name}, {svg.name}; numbers: {json_name}, parts.{section.name}"
    body = (
        f"<figure>\n{picture(png, section.alt or section.title)}\n"
        f'<figcaption class="files">{html.escape(files)}</figcaption>\n</figure>\n'
        f"<details><summary>The numbers</summary>\n{as_html(numbers)}\n</details>"
    )
    note = f"The report's {section.report}" if section.report else ""
    return PageSection(section.name, section.title, section.text, body, note)


def _counterparts(document: Document, groups: list[PageChapter], places: Mapping[str, list[str]]) -> str:
    """A table of the report's places, and where each has its counterpart on this page."""
    numbers = numbered(groups)
    titles = {section.anchor: section.title for group in groups for section in group.sections}
    rows = []
    for place, what in document.sought.items():
        links = [link_to(name, f"{numbers[name]} {titles[name]}") for name in places.get(place, ())]
        found = "<br>".join(links) or html.escape(document.absent.get(place, "not in this data"))
        rows.append(
            f'<tr><th scope="row">{html.escape(place)}</th><td>{html.escape(what)}</td><td>{found}</td></tr>'
        )
    body = "\n".join(rows)
    return (
        "<details open>\n<summary>Where each figure of the report is found here</summary>\n"
        '<table>\n<thead><tr><th scope="col">in the report</th><th scope="col">what it showed</th>'
        f'<th scope="col">here</th></tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</details>\n'
    )
