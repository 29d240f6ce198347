"""What a study is made of: parts, each one figure with its numbers, in chapters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DrawFunction = Callable[["Axes"], None]


@dataclass(frozen=True)
class Section:
    """One figure of the study.

    Attributes:
        name: of its files and of its numbers; no other part of the same page has it.
        title: of its section.
        text: what it shows and how to read it, a sentence or two.
        size: of the figure, inches.
        draw: draws it on an axis.
        numbers: what it shows as plain data, for JSON.
        report: which place of the report it is the counterpart of, such as ``"figure 3"``; empty for none.
        alt: what a person who cannot see the figure should be told; the title where it is empty. The page
            gives the numbers as text too.
    """

    name: str
    title: str
    text: str
    size: tuple[float, float]
    draw: DrawFunction
    numbers: Any
    report: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Chapter:
    """Parts that belong together. `parts` may be worked out while they are asked for.

    Attributes:
        name: its anchor on the page, and its key in the JSON.
        title: its heading.
        text: what it is about; paragraphs are parted by an empty line.
        parts: in their order.
    """

    name: str
    title: str
    text: str
    sections: Iterable[Section]


@dataclass(frozen=True)
class Document:
    """A page that is to be written.

    Attributes:
        name: of its files, NAME.html and NAME.json.
        title, lead: what stands at its head.
        chapters: in their order. Where there is one only, its heading is left out.
        about: what the figures are of, as plain data: the JSON's first keys.
        facts: the same in words, name to value, for the page.
        sought: places of the report and what stands there, in its order. The page says for each where its
            counterpart is.
        absent: the places of `sought` that can have no counterpart this time, and why.
    """

    name: str
    title: str
    lead: str
    chapters: Iterable[Chapter]
    about: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    sought: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
