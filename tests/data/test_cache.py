"""The cache: found by content, never stale, checked on every read, no trouble where it cannot be written."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.data import cache, load, sources
from mien.data.table import FaceTable

Rows = Callable[..., list[str]]
WriteCsv = Callable[..., Path]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that were really parsed, as they were."""
    seen: list[str] = []
    real = sources.read_csv

    def counted(stream: object, source: str) -> FaceTable:
        seen.append(source)
        return real(stream, source)  # type: ignore[arg-type]

    monkeypatch.setattr(sources, "read_csv", counted)
    return seen


def same(one: FaceTable, other: FaceTable) -> bool:
    return (
        one.sha256 == other.sha256
        and one.rows.tolist() == other.rows.tolist()
        and one.classes == other.classes
        and one.problems == other.problems
    )


def entries() -> list[Path]:
    return sorted((cache.cache_dir() / "tables").glob("*"))


def test_the_second_reading_parses_nothing_and_gives_the_same(
    rows: Rows, write_csv: WriteCsv, reads: list[str]
) -> None:
    lines = rows(4)
    lines[2] = "7" + lines[2][1:]
    path = write_csv(lines)
    first, second = load(path), load(path)
    assert len(reads) == 1
    assert same(first, second)
    assert second.source == first.source == str(path)
    assert not second.pixels.flags.writeable
    assert isinstance(second.pixels.base, np.memmap)


def test_the_same_bytes_elsewhere_are_known_and_named_as_what_they_are(
    rows: Rows, write_csv: WriteCsv, reads: list[str]
) -> None:
    load(write_csv(rows(2), name="one.csv"))
    other = write_csv(rows(2), name="two.csv")
    assert load(other).source == str(other)
    assert len(reads) == 1


def test_a_changed_file_is_read_again_even_if_size_and_time_are_as_before(
    rows: Rows, write_csv: WriteCsv, reads: list[str]
) -> None:
    """Within one tick of the clock, and with the time set back by hand."""
    path = write_csv(rows(2))
    status = path.stat()
    before = load(path)
    path.write_bytes(path.read_bytes().replace(b" 12 ", b" 13 "))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    after = load(path)
    assert len(reads) == 2
    assert after.sha256 != before.sha256


def test_a_settled_file_is_hashed_once(
    rows: Rows, write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(rows(1))
    digest = cache.file_sha256(path, tmp_path / "memory")
    assert not (tmp_path / "memory").exists()  # written a moment ago: not certain yet
    later = time.time_ns() + 10**10
    monkeypatch.setattr(cache.time, "time_ns", lambda: later)
    assert cache.file_sha256(path, tmp_path / "memory") == digest
    monkeypatch.setattr(cache, "sha256_file", lambda _: pytest.fail("hashed again"))
    assert cache.file_sha256(path, tmp_path / "memory") == digest
    note = next((tmp_path / "memory").iterdir())
    note.write_text("{")
    with pytest.raises(pytest.fail.Exception, match="hashed again"):
        cache.file_sha256(path, tmp_path / "memory")


@pytest.mark.parametrize("name", ["pixels.npy", "columns.npz", "table.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_a_damaged_entry_is_noted_and_made_again(
    name: str,
    damage: str,
    rows: Rows,
    write_csv: WriteCsv,
    reads: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = write_csv(rows(3))
    before = load(path)
    file = entries()[0] / name
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with caplog.at_level(logging.WARNING):
        assert same(load(path), before)
    assert "damaged" in caplog.text
    assert len(reads) == 2
    caplog.clear()
    assert same(load(path), before)
    assert not caplog.text
    assert len(reads) == 2


def test_a_cache_that_cannot_be_written_is_noted_and_does_no_harm(
    rows: Rows,
    write_csv: WriteCsv,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert len(load(write_csv(rows(2)))) == 2
    assert "cannot be written" in caplog.text


def test_without_cache_nothing_is_kept(rows: Rows, write_csv: WriteCsv, reads: list[str]) -> None:
    path = write_csv(rows(1))
    load(path, cache=False)
    load(path, cache=False)
    assert len(reads) == 2
    assert not cache.cache_dir().joinpath("tables").exists()


def test_what_changes_while_it_is_read_is_not_kept(
    rows: Rows, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(rows(1))
    real = sources.read_csv

    def slow(stream: object, source: str) -> FaceTable:
        with path.open("ab") as file:
            file.write(b"\n")
        return real(stream, source)  # type: ignore[arg-type]

    monkeypatch.setattr(sources, "read_csv", slow)
    load(path)
    assert entries() == []


def test_the_entries_not_used_for_longest_make_room(
    rows: Rows, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    monkeypatch.setattr(cache, "_MAX_ENTRIES", 2)
    paths = [write_csv(rows(1, seed=seed), name=f"{seed}.csv") for seed in range(3)]
    for age, path in zip((300, 200), paths, strict=False):
        load(path)
        newest = max(entries(), key=lambda entry: (entry / "table.json").stat().st_mtime_ns)
        old = time.time() - age
        os.utime(newest / "table.json", (old, old))
    load(paths[0])  # used just now, so that the second is the oldest
    load(paths[2])
    assert len(entries()) == 2
    load(paths[0])
    assert len(reads) == 3
    load(paths[1])
    assert len(reads) == 4


def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "mine"))
    assert cache.cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("MIEN_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache.cache_dir() == tmp_path / "xdg" / "mien"


@pytest.mark.parametrize("home", [Path("~/.cache/mien"), RuntimeError("no home")])
def test_without_a_home_nothing_is_kept_and_the_source_is_read(
    home: object, rows: Rows, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(*_: object, **__: object) -> object:
        if isinstance(home, Exception):
            raise home
        return home

    monkeypatch.delenv("MIEN_CACHE")
    monkeypatch.setattr(cache, "user_cache_path", folder)
    assert len(load(write_csv(rows(3)))) == 3
    assert not cache.cache_dir().exists()
