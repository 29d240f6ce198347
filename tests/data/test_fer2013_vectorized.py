"""The quick parser against an oracle that knows nothing of blocks, on rows mangled in every way found."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.data.fer2013.header import Layout, read_header
from mien.data.fer2013.vectorized import Block, parse_block
from mien.errors import FormatError

FER2013 = Layout(columns=3, pixels=1, label=0, usage=2)
ICML = Layout(columns=3, pixels=2, label=0, usage=1)
TRAIN = Layout(columns=2, pixels=1, label=0, usage=None)
TEST = Layout(columns=1, pixels=0, label=None, usage=None)
INDEXED = Layout(columns=4, pixels=2, label=1, usage=3)
USAGES = ["Training", "PublicTest", "PrivateTest"]


def oracle(line: str, layout: Layout) -> tuple[int, str, list[int]] | None:
    """The row as the plainest reading gives it, None if it breaks the format."""
    if "\0" in line:
        return None
    try:
        fields = next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None
    if len(fields) != layout.columns:
        return None
    label, usage = -1, ""
    if layout.label is not None:
        text = fields[layout.label].strip()
        if not re.fullmatch("0*[0-6]", text):
            return None
        label = int(text)
    if layout.usage is not None:
        usage = fields[layout.usage].strip()
        if usage not in USAGES:
            return None
    words = [word for word in fields[layout.pixels].split(" ") if word]
    if len(words) != 2304 or not all(re.fullmatch("[0-9]+", word) and int(word) <= 255 for word in words):
        return None
    return label, usage, [int(word) for word in words]


def misspelled(line: str, layout: Layout) -> bool:
    """Whether an accepted row differs from the plainest spelling of its values."""
    fields = next(csv.reader([line.removesuffix("\r")]))
    label, usage, pixels = oracle(line.removesuffix("\r"), layout) or (-1, "", [])
    plain = {layout.pixels: " ".join(map(str, pixels)), layout.label: str(label), layout.usage: usage}
    return any(fields[column] != text for column, text in plain.items() if column is not None)


def row(values: NDArray[np.int_], layout: Layout, label: int = 3, usage: str = "PublicTest") -> str:
    """A good line of the layout."""
    fields = [""] * layout.columns
    fields[layout.pixels] = " ".join(map(str, values))
    if layout.label is not None:
        fields[layout.label] = str(label)
    if layout.usage is not None:
        fields[layout.usage] = usage
    return ",".join(fields)


def parsed(lines: list[str], layout: Layout) -> Block:
    return parse_block("".join(line + "\n" for line in lines).encode("latin-1"), layout)


def agree(block: Block, lines: list[str], layout: Layout) -> None:
    """Block and oracle accept the same lines and read the same from them."""
    expected = {
        number: found
        for number, line in enumerate(lines)
        if (found := oracle(line.removesuffix("\r"), layout)) is not None
    }
    assert block.lines.tolist() == list(expected)
    assert block.labels.tolist() == [label for label, _, _ in expected.values()]
    if layout.usage is not None:
        assert [USAGES[code] for code in block.usages] == [usage for _, usage, _ in expected.values()]
    assert block.pixels.tolist() == [pixels for _, _, pixels in expected.values()]
    empty = {number for number, line in enumerate(lines) if not line.encode("latin-1").strip()}
    assert set(block.empty) == empty
    assert {number for number, _ in block.bad} == set(range(len(lines))) - set(expected) - empty
    assert block.count == len(lines)
    assert [line for line, _ in block.odd] == [line for line in expected if misspelled(lines[line], layout)]


@pytest.mark.parametrize("layout", [FER2013, ICML, TRAIN, TEST], ids=["fer2013", "icml", "train", "test"])
@pytest.mark.parametrize("quoted", [False, True], ids=["bare", "quoted"])
def test_good_rows_of_every_layout_are_read_exactly(layout: Layout, quoted: bool) -> None:
    generator = np.random.default_rng(1)
    values = generator.integers(0, 256, (7, 2304))
    lines = [row(values[i], layout, label=i, usage=USAGES[i % 3]) for i in range(7)]
    if quoted:
        lines = [",".join(f'"{field}"' for field in line.split(",")) for line in lines]
    block = parsed(lines, layout)
    assert block.pixels.tolist() == values.tolist()
    assert block.labels.tolist() == ([-1] * 7 if layout.label is None else list(range(7)))
    agree(block, lines, layout)


def test_every_value_from_0_to_255_is_read_in_every_company() -> None:
    """One, two and three digits beside one, two and three digits, at the ends of the field too."""
    values = np.arange(256)
    lines = [row(np.resize(np.roll(values, shift), 2304), TRAIN) for shift in range(0, 256, 17)]
    lines.append(row(np.resize([5, 255, 10, 0, 99, 100, 9], 2304), TRAIN))
    agree(parsed(lines, TRAIN), lines, TRAIN)
    assert len(parsed(lines, TRAIN).bad) == 0


GOOD = row(np.resize(np.arange(256), 2304), FER2013)
FIELD = GOOD.split(",")[1]

MANGLED = {
    "2,303 pixels": (GOOD.replace(" 17 ", " ", 1), "2,303 pixels, not 2,304"),
    "2,305 pixels": (GOOD.replace(" 17 ", " 17 17 ", 1), "2,305 pixels, not 2,304"),
    "a word": (GOOD.replace(" 17 ", " seven ", 1), "pixel 18 is 'seven', not a number"),
    "a sign": (GOOD.replace(" 17 ", " -17 ", 1), "pixel 18 is '-17', not a number"),
    "a fraction": (GOOD.replace(" 17 ", " 17.0 ", 1), "pixel 18 is '17.0', not a number"),
    "256": (GOOD.replace(" 17 ", " 256 ", 1), "pixel 18 is '256', outside 0-255"),
    "999": (GOOD.replace(" 17 ", " 999 ", 1), "pixel 18 is '999', outside 0-255"),
    "1000": (GOOD.replace(" 17 ", " 1000 ", 1), "pixel 18 is '1000', outside 0-255"),
    "65536, which wraps to 0": (GOOD.replace(" 17 ", " 65536 ", 1), "pixel 18 is '65536', outside 0-255"),
    "label 7": (GOOD.replace("3,", "7,", 1), "label '7' is not one of 0-6"),
    "label 13": (GOOD.replace("3,", "13,", 1), "label '13' is not one of 0-6"),
    "no label": (GOOD.replace("3,", ",", 1), "label '' is not a whole number"),
    "label 3.0": (GOOD.replace("3,", "3.0,", 1), "label '3.0' is not a whole number"),
    "unknown Usage": (GOOD.replace("PublicTest", "PublicTst"), "unknown Usage 'PublicTst'"),
    "no Usage": (GOOD.removesuffix("PublicTest"), "unknown Usage ''"),
    "a column too few": (GOOD.removesuffix(",PublicTest"), "2 columns where the header has 3"),
    "a column too many": (GOOD + ",", "4 columns where the header has 3"),
    "NUL": (GOOD.replace(" 17 ", " 1\0 ", 1), "NUL byte"),
    "a tab": (GOOD.replace(" 17 ", "\t17 ", 1), "not a number"),
    "an open quote": (GOOD.replace(FIELD, f'"{FIELD}'), "not CSV"),
    "quotes inside": (GOOD.replace(" 17 ", ' "17" ', 1), "pixel 18"),
    "semicolons": (GOOD.replace(" ", ";"), "not a number"),
    "a very long line": (GOOD.replace(" 17 ", f" {'0' * 200_000} ", 1), "bytes"),
}


@pytest.mark.parametrize("name", MANGLED)
def test_a_mangled_row_is_named_with_its_reason_and_its_neighbours_are_kept(name: str) -> None:
    line, reason = MANGLED[name]
    block = parsed([GOOD, line, GOOD], FER2013)
    assert block.lines.tolist() == [0, 2]
    assert [number for number, _ in block.bad] == [1]
    assert reason in block.bad[0][1]


def test_a_quote_that_opens_in_a_column_of_no_interest_is_not_overlooked() -> None:
    lines = [f"{start},{GOOD}" for start in ("1", '"1', '"1"', '1"', '"1""2"')]
    block = parsed(lines, INDEXED)
    assert block.lines.tolist() == [0, 2, 3, 4]
    agree(block, lines, INDEXED)


TOLERATED = {
    "two spaces": GOOD.replace(" 17 ", "  17 ", 1),
    "spaces round the pixels": GOOD.replace(FIELD, f"  {FIELD}  "),
    "leading zeros": GOOD.replace(" 17 ", " 00017 ", 1),
    "spaces round the label and the Usage": GOOD.replace("3,", " 3  ,", 1).replace(
        "PublicTest", "  PublicTest "
    ),
    "quotes round one field": GOOD.replace(FIELD, f'"{FIELD}"'),
    "a label with a zero before it": "0" + GOOD,
    "CR LF": GOOD + "\r",
}


@pytest.mark.parametrize("name", TOLERATED)
def test_harmless_spelling_changes_nothing(name: str) -> None:
    block = parsed([GOOD, TOLERATED[name], GOOD], FER2013)
    assert not block.bad
    assert block.labels.tolist() == [3, 3, 3]
    assert block.pixels.tolist() == [[i % 256 for i in range(2304)]] * 3
    # It is named, unless it is a matter of CSV alone.
    quiet = name in ("quotes round one field", "CR LF")
    assert [line for line, _ in block.odd] == ([] if quiet else [1])


@st.composite
def mangled_lines(draw: st.DrawFn) -> tuple[list[str], Layout]:
    """A few good rows with bytes put in, taken out, overwritten or doubled anywhere."""
    layout = draw(st.sampled_from([FER2013, ICML, TRAIN, TEST, INDEXED]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        line = row(
            generator.integers(0, draw(st.sampled_from([10, 100, 256, 300])), 2304),
            layout,
            label=draw(st.integers(0, 8)),
            usage=draw(st.sampled_from([*USAGES, "Trainin"])),
        )
        for _ in range(draw(st.integers(0, 3))):
            place = draw(st.one_of(st.integers(0, 12), st.integers(0, len(line)), st.just(len(line))))
            length = draw(st.integers(0, 4))
            text = draw(st.text(st.sampled_from('0123456789 ,"\0\r\t;-é'), max_size=4))
            line = line[:place] + text + line[place + length :]
        lines.append(
            draw(st.sampled_from([line, line + "\r", "", " ", line[: len(line) // 2]]))
            if draw(st.integers(0, 3)) == 0
            else line
        )
    return lines, layout


@settings(max_examples=120, deadline=None)
@given(mangled_lines())
def test_quick_and_plain_reading_agree_on_mangled_rows(case: tuple[list[str], Layout]) -> None:
    lines, layout = case
    agree(parsed(lines, layout), lines, layout)


def test_an_empty_block_has_no_rows() -> None:
    block = parse_block(b"", FER2013)
    assert block.pixels.shape == (0, 2304)
    assert block.count == 0


@pytest.mark.parametrize(
    ("header", "layout"),
    [
        (b"emotion,pixels,Usage\n", FER2013),
        (b"emotion, Usage, pixels\r\n", ICML),
        (b'"emotion","pixels"\n', TRAIN),
        (b"pixels", TEST),
        (b",emotion,pixels,Usage\n", Layout(columns=4, pixels=2, label=1, usage=3)),
    ],
)
def test_headers_of_every_release_are_understood(header: bytes, layout: Layout) -> None:
    assert read_header(header, "x") == (layout, ())


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"0,70 80 82\n", "does not begin with FER2013's header"),
        (b"pixels,pixels\n", "does not begin with FER2013's header"),
        ("emotion,pixels\n".encode("utf-16"), "UTF-16"),
        (b"\x89PNG\r\n", "x does not begin"),
    ],
)
def test_other_first_lines_are_refused(header: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_header(header, "x")
