"""A page of the study is whole: nothing from outside, a text for every picture, all numbers as JSON."""

from __future__ import annotations

import html
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mien.errors import DataError, MissingExtra
from mien.reports.document import Chapter, Document, Section
from mien.reports.html import numbers_html, plain
from mien.reports.writer import write


class Elements(HTMLParser):
    """Every start tag with its attributes, and whether each tag that must be closed is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


def _section(name: str, numbers: object = 1, **more: str) -> Section:
    return Section(
        name, name.title(), "What it shows & how.", (3, 2), lambda a: a.plot([1, 2]), numbers, **more
    )


def _document(*chapters: Chapter, **more: object) -> Document:
    return Document("look", "A title", "A lead.", list(chapters), **more)  # type: ignore[arg-type]


def test_the_files_are_the_page_the_figures_and_the_numbers(tmp_path: Path) -> None:
    document = _document(
        Chapter("one", "One", "", [_section("a", {"x": 1}), _section("b", [2])]), about={"k": "v"}
    )
    assert write(document, tmp_path / "new") == tmp_path / "new" / "look.html"
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "look.html", "look.json", "a.png", "a.svg", "a.pdf", "b.png", "b.svg", "b.pdf",
    }  # fmt: skip
    numbers = json.loads((tmp_path / "new" / "look.json").read_text(encoding="utf-8"))
    assert numbers["sections"] == {"a": {"x": 1}, "b": [2]}
    assert numbers["chapters"] == {"one": ["a", "b"]}
    assert (numbers["k"], numbers["format"]) == ("v", 1)


def test_a_section_without_a_figure_is_its_text_and_an_open_table(tmp_path: Path) -> None:
    sections = [
        Section.without_figure("a", "A", "Nothing was measured."),
        Section.without_figure("b", "B", "The recipe.", {"epochs": 3}),
    ]
    page = write(_document(Chapter("one", "One", "", sections)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"look.html", "look.json"}
    text = page.read_text(encoding="utf-8")
    assert "Nothing was measured." in text
    assert '<td class="number">3</td>' in text
    assert not Elements(text).of("img", "details", "figure")
    numbers = json.loads((tmp_path / "look.json").read_text(encoding="utf-8"))
    assert numbers["sections"] == {"a": None, "b": {"epochs": 3}}


def test_a_figure_as_pdf_has_text_that_can_be_searched(tmp_path: Path) -> None:
    """Publishers refuse Type 3 fonts, which matplotlib writes by default."""
    write(_document(Chapter("one", "One", "", [_section("a")])), tmp_path)
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"/Subtype /Type3" not in content
    assert b"/Subtype /Type0" in content


def test_the_same_document_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write(_document(Chapter("one", "One", "", [_section("a")])), tmp_path / name)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes(), path.name


def test_chapters_are_told_of_as_they_are_worked_out(tmp_path: Path) -> None:
    told: list[str] = []

    def sections() -> Iterator[Section]:
        told.append("worked out")
        yield _section("a")

    write(
        _document(Chapter("one", "One", "", sections())),
        tmp_path,
        on_chapter=told.append,
        on_section=told.append,
    )
    assert told == ["One", "worked out", "a"]


def test_a_chapter_without_parts_is_left_out(tmp_path: Path) -> None:
    write(_document(Chapter("one", "First", "", [_section("a")]), Chapter("two", "Second", "", [])), tmp_path)
    assert "Second" not in (tmp_path / "look.html").read_text(encoding="utf-8")


def test_two_parts_of_one_name_are_refused_before_one_overwrites_the_other(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two sections"):
        write(_document(Chapter("one", "One", "", [_section("a"), _section("a")])), tmp_path)


def test_every_place_of_the_report_is_linked_or_explained(tmp_path: Path) -> None:
    document = _document(
        Chapter(
            "one", "One", "", [_section("a", report_place="figure 1"), _section("b", report_place="figure 1")]
        ),
        Chapter("two", "Two", "", [_section("c")]),
        report_places={"figure 1": "a table", "figure 2": "faces", "figure 3": "bars"},
        missing={"figure 2": "give --votes"},
    )
    text = write(document, tmp_path).read_text(encoding="utf-8")
    assert '<a href="#a">1.1 A</a><br><a href="#b">1.2 B</a>' in text
    assert "<td>faces</td><td>give --votes</td>" in text
    assert "<td>bars</td><td>not in this data</td>" in text
    assert html.unescape(text).count("The report's figure 1") == 2


def test_what_texts_hold_cannot_become_markup(tmp_path: Path) -> None:
    nasty = '<script>alert("1")</script>'
    section = replace(_section("a", {nasty: {nasty: nasty}}), title=nasty, text=nasty, alt=nasty)
    document = Document(
        "look", nasty, nasty,
        [Chapter("one", nasty, nasty, [section]), Chapter("two", "", "", [_section("b")])],
        facts={nasty: nasty}, report_places={nasty: nasty}, missing={nasty: nasty},
    )  # fmt: skip
    assert "<script" not in write(document, tmp_path).read_text(encoding="utf-8")
    assert "<script" not in numbers_html({nasty: {nasty: nasty}})
    assert "<script" not in numbers_html([{nasty: nasty}])


def test_without_jinja2_a_page_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"mien\[study\]"):
        write(_document(Chapter("one", "One", "", [_section("a")])), tmp_path)


def test_pages_are_whole_html_whose_links_and_labels_lead_somewhere(tmp_path: Path) -> None:
    document = _document(
        Chapter(
            "one", "One", "First paragraph.\n\nSecond.", [_section("a", {"x": {"y": 1.5}}, alt="a line")]
        ),
        Chapter("two", "Two", "", [_section("b", [{"k": 1}, {"k": None}])]),
        facts={"data": "drawn"},
    )
    elements = Elements(write(document, tmp_path).read_text(encoding="utf-8"))
    anchors = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    for link in elements.of("a"):
        assert (link["href"] or "").removeprefix("#") in anchors
    assert [image["alt"] for image in elements.of("img")] == ["a line", "B"]
    for image in elements.of("img"):
        assert (image["src"] or "").startswith("data:image/")


def test_plain_makes_of_numpy_what_json_knows() -> None:
    value = {"a": np.float32(0.5), "b": np.array([[1, 2]]), 3: (np.int64(4), math.nan), "c": np.bool_(True)}
    assert plain(value) == {"a": 0.5, "b": [[1, 2]], "3": [4, None], "c": True}
    with pytest.raises(TypeError, match="Path"):
        plain({"a": Path()})


def test_numbers_become_tables_with_headers_where_they_have_that_form() -> None:
    assert numbers_html({"happy": 1234, "sad": 0.123456}).count("<tr>") == 2
    assert "1,234" in numbers_html({"happy": 1234})
    table = numbers_html({"angry": {"happy": 0.25}, "sad": {"happy": 0.5}})
    assert table.count('scope="col"') == 2
    assert table.count('scope="row"') == 2
    assert "more rows" in numbers_html([{"row": i} for i in range(100)])
    assert "&#34;" in numbers_html([["not", "a table"]])
