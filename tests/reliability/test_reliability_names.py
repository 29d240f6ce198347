"""Names of files from outside in CSV, JSON and on the terminal: nothing is obeyed, nothing is lost."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import DataError, ImageError
from mien.files import csv_text, kind_of_path
from mien.inference.sinks import CsvSink, ImageResult, JsonLinesSink, JsonSink, ReadFailure
from mien.names import csv_cell, from_csv_cell, json_text, shown, shown_text

HOSTILE = (
    "a\x1b[31m.jpg",
    "a\nb.jpg",
    "a\rb.jpg",
    "a\u202egpj.exe",
    "a\udcff.jpg",
    "=cmd|' /C calc'!A0.jpg",
    "@SUM(1).jpg",
    "'quoted.jpg",
    '"quoted.jpg',
    "a,b;c.jpg",
    "<script>.jpg",
)


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_name_comes_back_from_json_and_csv(name: str) -> None:
    assert json.loads(json_text({"source": name}).encode())["source"] == name
    text = csv_text(["source", "n"], [[name, 1], ["after", 2]])
    rows = list(csv.DictReader(io.StringIO(text.encode().decode(), newline="")))
    assert [from_csv_cell(row["source"]) for row in rows] == [name, "after"]
    assert text.count("\n") == 3
    assert "\r" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_sinks_write_one_valid_line_per_row_whatever_the_name(name: str) -> None:
    stream = io.StringIO()
    sink = CsvSink(stream, ["source", "width", "height", "error"])
    sink.write(ImageResult(name, 2, 3, ()))
    sink.fail(ReadFailure(name, f"{name} is broken"))
    rows = list(csv.DictReader(io.StringIO(stream.getvalue().encode().decode(), newline="")))
    assert [from_csv_cell(row["source"]) for row in rows] == [name, name]
    assert not any(row["source"].startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows)
    for kind in (JsonSink(io.StringIO(), "m"), JsonLinesSink(io.StringIO())):
        kind.write(ImageResult(name, 2, 3, ()))
        kind.close()
        written = json.loads(kind._stream.getvalue().encode().decode())  # type: ignore[attr-defined]
        assert (written.get("results") or [written])[0]["source"] == name


def test_numbers_and_plain_names_stay_as_they_are() -> None:
    values = ["-0.5", "+1.2e-3", "-12%", "-inf", -3, 0.5, "photo 1.jpg", "Ümläut.jpg", ""]
    assert [csv_cell(value) for value in values] == values


@pytest.mark.parametrize("name", HOSTILE)
def test_a_shown_name_is_one_line_of_printable_text(name: str) -> None:
    assert shown(name).isprintable()
    shown(name).encode()


def test_a_long_name_is_cut_in_its_middle_and_a_message_keeps_its_lines() -> None:
    assert len(shown("x" * 400_000)) < 300
    assert shown_text("one\ntwo\x1b") == "one\ntwo\\x1b"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_the_system_refuses_is_an_error_of_the_caller(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        kind_of_path(tmp_path / name, DataError)


def test_a_loop_of_links_is_an_error_and_an_absent_file_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ImageError, match="cannot be read"):
        kind_of_path(tmp_path / "a", ImageError)
    (tmp_path / "file").touch()
    assert kind_of_path(tmp_path / "file" / "x", ImageError) == "nothing"
    assert kind_of_path(tmp_path / "absent", ImageError) == "nothing"
    assert kind_of_path(tmp_path, ImageError) == "folder"
    assert kind_of_path(Path(os.devnull), ImageError) == "file"
