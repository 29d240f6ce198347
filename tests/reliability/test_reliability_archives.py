"""Archives made to exhaust, or to lead out of themselves: refused, and the message names the way out."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.data import archives, load
from mien.data.fer2013 import reader
from mien.errors import DataError, FormatError

ROW = ("3," + " ".join(["7"] * 2304) + ",Training\n").encode()
CSV = b"emotion,pixels,Usage\n" + 3 * ROW


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_the_directory_of_a_zip_is_read_once_for_all_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _zip(tmp_path / "a.zip", {f"{i}.csv": b"x" for i in range(50)} | {"z.csv": CSV})
    opened = 0
    real = zipfile.ZipFile.__init__

    def count(self: zipfile.ZipFile, *args: object, **options: object) -> None:
        nonlocal opened
        opened += 1
        real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "__init__", count)
    assert len(load(path, cache=False)) == 3
    assert opened <= 3


def test_an_archive_of_too_many_members_is_refused_and_the_limit_can_be_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    path = _zip(tmp_path / "a.zip", {f"{i}.csv": b"x" for i in range(6)} | {"z.csv": CSV})
    with pytest.raises(FormatError, match="MIEN_ARCHIVE_FACTOR=10"):
        load(path, cache=False)
    monkeypatch.setenv("MIEN_ARCHIVE_FACTOR", "2")
    assert len(load(path, cache=False)) == 3
    monkeypatch.setenv("MIEN_ARCHIVE_FACTOR", "many")
    with pytest.raises(FormatError, match="whole number"):
        load(path, cache=False)


@pytest.mark.parametrize("filler", [b"0", b"\n", b" "])
def test_a_bomb_is_refused_while_it_is_unpacked(
    filler: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_ALWAYS", 1_000_000)
    path = tmp_path / "fer2013.csv.gz"
    path.write_bytes(gzip.compress(CSV + filler * 12_000_000))
    with pytest.raises(FormatError, match="unpacks to more than"):
        load(path, cache=False)
    if filler != b"\n":
        monkeypatch.setenv("MIEN_ARCHIVE_FACTOR", "100")
        assert len(load(path, cache=False)) == 3


def test_too_many_lines_without_a_row_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(CSV + b"\n" * 2000 + ROW)
    assert len(load(path, cache=False)) == 4
    monkeypatch.setattr(reader, "_MAX_UNUSABLE_LINES", 1000)
    with pytest.raises(FormatError, match="more than 1,000 lines"):
        load(path, cache=False)


def test_a_line_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_MAX_UNENDED_BYTES", 2_000_000)
    path = tmp_path / "fer2013.csv"
    path.write_bytes(CSV + b"1" * 6_000_000)
    with pytest.raises(FormatError, match="a line has more than 2 MB"):
        load(path, cache=False)


@pytest.mark.parametrize("name", ["../x.csv", "a/../../x.csv", "/x.csv", "a\\..\\x.csv", "C:x.csv"])
def test_a_member_that_leads_out_of_its_archive_is_refused(name: str, tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"y.csv": CSV, name: CSV})
    with pytest.raises(FormatError, match="leads out of it"):
        load(path, cache=False)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(CSV)
        archive.addfile(entry, io.BytesIO(CSV))
    with pytest.raises(FormatError, match="leads out of it"):
        load(tmp_path / "a.tar", cache=False)


def test_a_member_with_dots_in_its_name_is_read(tmp_path: Path) -> None:
    assert len(load(_zip(tmp_path / "a.zip", {"a..b/x..csv.csv": CSV}), cache=False)) == 3


def test_a_carriage_return_in_another_csv_of_the_folder_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_bytes(CSV)
    (tmp_path / "other.csv").write_bytes(b"a,b\rc,d\r\n1,2\n")
    assert len(load(tmp_path, cache=False)) == 3
    with pytest.raises(FormatError, match="does not begin with"):
        load(tmp_path / "other.csv", cache=False)


PACKED: dict[str, Callable[[Path], Path]] = {
    "zip": lambda folder: _zip(folder / "a.zip", {"x.csv": CSV}),
    "tree": lambda folder: _zip(folder / "b.zip", {"Training/happy/x.png": b"\x89PNG" + CSV}),
}


@pytest.mark.parametrize("kind", PACKED)
def test_a_mutated_archive_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    import random

    data, chance, refused = PACKED[kind](tmp_path).read_bytes(), random.Random(kind), 0
    for number in range(int(os.environ.get("MIEN_SOAK", "60"))):
        broken = bytearray(data)
        for _ in range(chance.choice((1, 4, 16))):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path = tmp_path / "broken.zip"
        path.write_bytes(broken)
        try:
            load(path, cache=False)
        except DataError:
            refused += 1
        except BaseException as error:
            raise AssertionError(f"{kind}, mutation {number}: {error!r}") from error
    assert refused
