"""What a report is made of: sections, each a figure with its numbers or numbers alone, in chapters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Section:
    """One figure and its numbers; or, without a figure, a text with a table of its numbers.

    Attributes:
        name: name of its files, its anchor and its key in the JSON; unique in a document.
        title: its heading.
        text: what it shows and how to read it, one or two sentences.
        size: width and height of the figure in inches.
        draw: draws the figure on an axis; None for a section without a figure.
        numbers: what the figure shows as plain data, for JSON; None for a section that is a text alone.
        report_place: the place of the original report that it corresponds to, such as ``"figure 3"``.
        alt: description for people who cannot see the figure; the title where it is empty.
    """

    name: str
    title: str
    text: str
    size: tuple[float, float]
    draw: Callable[[Axes], None] | None
    numbers: Any
    report_place: str = ""
    alt: str = ""

    @classmethod
    def without_figure(cls, name: str, title: str, text: str, numbers: Any = None) -> Section:
        """A text, and its numbers as a table that is open."""
        return cls(name, title, text, (0, 0), None, numbers)


@dataclass(frozen=True)
class Chapter:
    """Sections that belong together.

    Attributes:
        name: its anchor on the page, and its key in the JSON.
        title: its heading.
        text: its introduction; an empty line separates paragraphs.
        sections: in order; may be a generator that computes each one when it is needed.
    """

    name: str
    title: str
    text: str
    sections: Iterable[Section]


@dataclass(frozen=True)
class Document:
    """A page to be written.

    Attributes:
        name: of its files, NAME.html and NAME.json.
        title, lead: the head of the page.
        chapters: in order. The heading of a single chapter is left out.
        about: what the figures were made from, as plain data: the first keys of the JSON.
        facts: the same in words, name to value, for the page.
        links: name to labels with their addresses, relative to the page; shown after the facts.
        report_places: the places of the original report and what each shows, in order. The page links each to
            its counterpart.
        missing: the places that have no counterpart this time, and why.
    """

    name: str
    title: str
    lead: str
    chapters: Iterable[Chapter]
    about: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    report_places: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
