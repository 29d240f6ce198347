"""`mien data info` and `mien data convert`, as a person and as a program use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mien.cli.app import app
from mien.data import load
from mien.errors import BadRows, FormatError, UsageError

HEADER = "emotion,pixels,Usage"
VOTES_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
SPLITS = ["Training", "Training", "PublicTest", "PrivateTest"]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Four rows labelled 0, 1, 2, 3, whose pixels begin with 10, 11, 12, 13."""
    path = tmp_path / "fer2013.csv"
    rows = [
        f"{i},{' '.join(['7'] * 2303)},{split}".replace(",7", f",1{i} 7", 1) for i, split in enumerate(SPLITS)
    ]
    path.write_text("".join(f"{line}\n" for line in [HEADER, *rows]), newline="")
    return path


@pytest.fixture
def bad(csv: Path) -> Path:
    """The same with three rows that cannot be used, on lines 3, 6 and 7."""
    lines = csv.read_text().splitlines()
    lines[2] = "7" + lines[2][1:]
    lines += [lines[1].replace(" 7", " x", 1), lines[1].replace("Training", "training")]
    csv.write_text("".join(f"{line}\n" for line in lines), newline="")
    return csv


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Votes for angry, disgust, fear and neutral: three of the four labels."""
    path = tmp_path / "fer2013new.csv"
    columns = [4, 5, 6, 0]
    rows = [
        f"{split},x.png,{','.join('9' if i == column else '0' for i in range(10))}"
        for split, column in zip(SPLITS, columns, strict=True)
    ]
    path.write_text("".join(f"{line}\n" for line in [VOTES_HEADER, *rows]), newline="")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)], env={"COLUMNS": "100"})


def info_json(*arguments: object) -> dict[str, object]:
    result = run("info", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


def cells(output: str, name: str) -> list[str]:
    """The cells of the table's row that begins with a name."""
    line = next(line for line in output.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_info_shows_the_first_rows_and_the_counts(csv: Path) -> None:
    result = run("info", csv)
    assert result.exit_code == 0
    assert "4 faces of 48 x 48 pixels" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["row", "emotion", "pixels", "Usage"] in lines
    assert ["1", "1", "disgust", "11", *["7"] * 9, "7…", "Training"] in lines
    assert cells(result.stdout, "fear") == ["fear", "0", "1", "0", "1", "25.0%"]
    assert cells(result.stdout, "all") == ["all", "2", "1", "1", "4", "100.0%"]
    assert "No problems found" in result.stdout


def test_info_lists_problems_and_counts_the_rest(bad: Path) -> None:
    result = run("info", bad, "--problems", 2)
    assert "3 problems, 3 rows refused" in result.stdout
    assert "line 3: label '7' is not one of 0-6" in result.stdout
    assert "line 6: pixel 2 is 'x', not a number" in result.stdout
    assert "and 1 more; list them with --problems 3" in result.stdout
    assert "unknown Usage 'training'" not in result.stdout
    assert "unknown Usage 'training'" in run("info", bad).stdout


def test_info_says_how_far_labels_and_votes_agree(csv: Path, votes: Path) -> None:
    result = run("info", csv, "--votes", votes)
    assert "most FER+ votes on 75.0% of 4 faces" in result.stdout
    document = info_json(csv, "--votes", votes)
    assert document["votes"] == {
        "faces": 4,
        "agreeing": 3,
        "tied": 0,
        "agreement": 0.75,
        "by_class": {
            name: {"faces": int(i < 4), "agreeing": int(i < 3)}
            for i, name in enumerate(["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"])
        },
    }


def test_info_as_json_holds_the_same_facts(bad: Path) -> None:
    document = info_json(bad, "--problems", 1)
    assert document["rows"] == 3
    assert document["size"] == [48, 48]
    assert document["splits"] == {"Training": 1, "PublicTest": 1, "PrivateTest": 1}
    counts = document["counts"]
    assert isinstance(counts, dict)
    assert counts["PublicTest"]["fear"] == 1
    assert sum(counts["PublicTest"].values()) == 1
    assert document["votes"] is None
    assert document["sha256"] == load(bad).sha256
    assert document["problems"] == {
        "count": 3,
        "refused": 3,
        "first": [{"where": "line 3", "reason": "label '7' is not one of 0-6", "refused": True}],
    }


def test_info_of_rows_without_labels_counts_them_as_such(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("pixels\n" + " ".join(["5"] * 2304) + "\n", newline="")
    result = run("info", path)
    assert cells(result.stdout, "unlabelled") == ["unlabelled", "1", "1", "100.0%"]


def test_info_reads_synthetic_faces_too() -> None:
    assert info_json("synthetic")["rows"] == 3500


def test_strict_stops_both_verbs_at_the_first_problem(bad: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    for arguments in (["info", bad], ["convert", bad, out]):
        result = run(*arguments, "--strict")
        assert isinstance(result.exception, BadRows)
        assert "line 3: label '7'" in str(result.exception)
    assert not out.exists()


def test_convert_writes_what_load_gives_back(csv: Path, votes: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "o.parquet"
    result = run("convert", csv, out, "--votes", votes)
    assert result.exit_code == 0, result.output
    assert "4 faces" in result.stdout
    before, after = load(csv, votes=votes), load(out)
    assert after.sha256 == before.sha256
    assert after.rows.tolist() == before.rows.tolist()
    assert np.array_equal(after.votes, before.votes)  # type: ignore[arg-type]


def test_convert_says_what_it_left_out(bad: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    result = run("convert", bad, tmp_path / "o.parquet")
    assert "3 faces" in result.stdout
    assert "3 rows of the source refused" in result.stderr


def test_convert_replaces_a_file_only_when_told_to(csv: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "o.parquet"
    out.write_text("mine")
    result = run("convert", csv, out)
    assert isinstance(result.exception, UsageError)
    assert out.read_text() == "mine"
    assert run("convert", csv, out, "--force").exit_code == 0
    assert len(load(out)) == 4


@pytest.mark.parametrize("name", ["o.csv", "absent/o.parquet"])
def test_convert_refuses_a_place_that_it_cannot_write_before_it_reads(name: str, tmp_path: Path) -> None:
    result = run("convert", tmp_path / "absent.csv", tmp_path / name)
    assert isinstance(result.exception, UsageError)


def test_a_file_that_is_something_else_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    result = run("info", path)
    assert isinstance(result.exception, FormatError)
    assert "but with b'hello" in str(result.exception)
