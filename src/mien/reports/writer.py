"""A document on disk: each figure as PNG, SVG and PDF, all numbers as JSON, and one page with everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mien
from mien.errors import DataError, UsageError, reason
from mien.files import write_atomically
from mien.plotting import new_figure, save
from mien.reports.document import Document, Section
from mien.reports.html import PageChapter, PageSection, embed_image, numbers_html, page_html, plain

# Of the JSON; it changes when a key does.
FORMAT = 1


def write(
    document: Document,
    folder: Path,
    *,
    on_chapter: Callable[[str], object] = lambda _: None,
    on_section: Callable[[str], None] = lambda _: None,
) -> Path:
    """The path of NAME.html in the folder; beside it are each figure as PNG, SVG and PDF, and NAME.json.

    Args:
        document: what to write. Chapters without a section are left out.
        folder: created if it does not exist. Files of those names are replaced.
        on_chapter: called with the title of each chapter as it begins.
        on_section: called with the name of each section when its files are written.

    Raises:
        UsageError: the folder cannot be created.
        DataError: two sections have one name.
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be created: {reason(error)}. Choose another folder with --out."
        ) from error
    chapters: list[PageChapter] = []
    numbers: dict[str, object] = {}
    for chapter in document.chapters:
        on_chapter(chapter.title)
        sections: list[PageSection] = []
        for section in chapter.sections:
            if section.name in numbers:
                raise DataError(f"two sections of {document.name} are called {section.name!r}.")
            numbers[section.name] = plain(section.numbers)
            number = f"{len(chapters) + 1}.{len(sections) + 1}"
            sections.append(_draw(section, number, folder, numbers[section.name], f"{document.name}.json"))
            on_section(section.name)
        if sections:
            chapters.append(PageChapter(chapter.name, chapter.title, chapter.text, sections))
    content = {
        "format": FORMAT,
        "mien": mien.__version__,
        **plain(document.about),
        "chapters": {chapter.anchor: [each.anchor for each in chapter.sections] for chapter in chapters},
        "sections": numbers,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(folder / f"{document.name}.json", text)
    written = folder / f"{document.name}.html"
    write_atomically(written, page_html(document, chapters))
    return written


def save_figure(section: Section, folder: Path) -> list[Path]:
    """The files of a section's figure, the PNG first; none for a section without a figure."""
    if section.draw is None:
        return []
    figure, axes = new_figure(*section.size)
    section.draw(axes)
    return save(figure, folder, section.name)


def _draw(section: Section, number: str, folder: Path, numbers: object, json_name: str) -> PageSection:
    """The section with its figure, if it has one, drawn and saved."""
    paths = save_figure(section, folder)
    image = embed_image(paths[0]) if paths else None
    files = [", ".join(path.name for path in paths)] if paths else []
    return PageSection(
        anchor=section.name,
        number=number,
        title=section.title,
        text=section.text,
        report_place=section.report_place,
        image=image,
        alt="" if image is None else section.alt or section.title,
        files="; ".join([*files, f"numbers: {json_name}, sections.{section.name}"]),
        numbers="" if numbers is None else numbers_html(numbers),
    )
