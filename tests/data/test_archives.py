"""FER2013 in gz, zip and tar, one in another, and archives that are cut or damaged."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.data import load
from mien.errors import FormatError

Rows = Callable[..., list[str]]


def text(lines: list[str], header: str = "emotion,pixels,Usage") -> bytes:
    return "".join(f"{line}\n" for line in [header, *lines]).encode()


def tar(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "fer2013.csv": lambda csv: csv,
    "fer2013.csv.gz": gzip.compress,
    "fer2013.csv.zip": lambda csv: zipped({"fer2013.csv": csv}),
    "fer2013.tar.gz": lambda csv: tar({"fer2013/README": b"hello", "fer2013/fer2013.csv": csv}),
    "fer2013.tar": lambda csv: tar({"fer2013/fer2013.csv": csv}, "w"),
    "download": lambda csv: tar({"fer2013.csv": csv}),
    "twice.zip": lambda csv: zipped({"a/inner.zip": zipped({"fer2013.csv": csv})}),
    "gz-in.zip": lambda csv: zipped({"fer2013.csv.gz": gzip.compress(csv)}),
    "mac.zip": lambda csv: zipped({"__MACOSX/._fer2013.csv": b"junk", "fer2013.csv": csv}),
}


@pytest.mark.parametrize("name", PACKED)
def test_every_packing_gives_the_same_faces(name: str, rows: Rows, tmp_path: Path) -> None:
    csv = text(rows(4))
    (tmp_path / "plain.csv").write_bytes(csv)
    (tmp_path / name).write_bytes(PACKED[name](csv))
    table = load(tmp_path / name)
    assert table.sha256 == load(tmp_path / "plain.csv").sha256
    assert table.source.startswith(str(tmp_path / name))


def competition(rows: Rows) -> dict[str, bytes]:
    """The members of Kaggle's zip, six rows small."""
    lines = [*rows(3), *rows(3, seed=1, usage="PublicTest")]
    labelled = [line.rsplit(",", 1)[0] for line in lines[:3]]
    bare = [line.split(",")[1] for line in lines[3:]]
    swapped = [
        ",".join((label, usage, pixels)) for label, pixels, usage in (line.split(",") for line in lines)
    ]
    return {
        "test.csv": text(bare, "pixels"),
        "train.csv": text(labelled, "emotion,pixels"),
        "example_submission.csv": b"emotion\n0\n",
        "fer2013.tar.gz": tar({"fer2013/fer2013.csv": text(lines)}),
        "icml_face_data.csv": text(swapped, "emotion, Usage, pixels"),
    }


def test_of_the_competitions_zip_the_most_complete_file_is_read_and_named(rows: Rows, tmp_path: Path) -> None:
    members = competition(rows)
    path = tmp_path / "competition.zip"
    for expected, missing in [
        ("icml_face_data.csv", []),
        ("fer2013.tar.gz: fer2013/fer2013.csv", ["icml_face_data.csv"]),
        ("train.csv", ["fer2013.tar.gz"]),
        ("test.csv", ["train.csv"]),
    ]:
        for name in missing:
            del members[name]
        path.write_bytes(zipped(members))
        table = load(path)
        assert table.source == f"{path}: {expected}"
        assert len(table) == (6 if table.split_counts.get("PublicTest") else 3)


def test_a_larger_file_of_the_same_kind_is_preferred(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    path.write_bytes(zipped({"a.csv": text(rows(5)), "b.csv": text(rows(2))}))
    assert len(load(path)) == 5
    path.write_bytes(zipped({"a.csv": text(rows(2)), "b.tar.gz": tar({"fer2013.csv": text(rows(9))})}))
    assert len(load(path)) == 9


def test_a_folder_with_the_competitions_files_is_read_the_same(rows: Rows, tmp_path: Path) -> None:
    for name, content in competition(rows).items():
        (tmp_path / name).write_bytes(content)
    assert load(tmp_path).source == str(tmp_path / "icml_face_data.csv")


@pytest.mark.parametrize("name", [name for name in PACKED if name != "fer2013.csv"])
def test_a_cut_archive_never_gives_fewer_faces(name: str, rows: Rows, tmp_path: Path) -> None:
    """It is refused; only a bare tar may lack a part of the zeros that fill it up."""
    packed = PACKED[name](text(rows(4)))
    path = tmp_path / name
    for share in (0.05, 0.3, 0.6, 0.9, 0.999):
        path.write_bytes(packed[: int(len(packed) * share)])
        if name == "fer2013.tar" and not packed[int(len(packed) * share) :].strip(b"\0"):
            assert len(load(path, cache=False)) == 4
        else:
            with pytest.raises(FormatError, match=name):
                load(path, cache=False)


@pytest.mark.parametrize("name", ["fer2013.csv.gz", "fer2013.csv.zip", "fer2013.tar.gz"])
def test_a_flipped_bit_never_passes(name: str, rows: Rows, tmp_path: Path) -> None:
    """The checksum at the end is read even where the tar's member ends before it."""
    packed = PACKED[name](text(rows(4)))
    expected = PACKED["fer2013.csv"](text(rows(4)))
    (tmp_path / "plain.csv").write_bytes(expected)
    same = load(tmp_path / "plain.csv").sha256
    path = tmp_path / name
    draw = random.Random(5)
    for _ in range(20):
        damaged = bytearray(packed)
        damaged[draw.randrange(100, len(packed) - 200)] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            table = load(path, cache=False)
        except FormatError:
            continue
        assert table.sha256 == same


def test_a_zip_with_a_password_says_so(rows: Rows, tmp_path: Path) -> None:
    packed = bytearray(zipped({"fer2013.csv": text(rows(2))}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(signature) + place] |= 1  # the flag for encryption
    path = tmp_path / "locked.zip"
    path.write_bytes(packed)
    with pytest.raises(FormatError, match="password"):
        load(path)


def test_an_archive_without_faces_says_what_is_wanted(tmp_path: Path) -> None:
    for name, content in {"a.zip": zipped({"a.txt": b"hello"}), "a.tar.gz": tar({"a.txt": b"hello"})}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match=name):
            load(tmp_path / name)
