"""Is a downloaded FER2013 what it should be? Its rows, its hashes, and a manifest of what was got."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from mien.errors import DownloadError

MANIFEST = "manifest.json"
_PIXELS = 48 * 48


@dataclass(frozen=True)
class Release:
    """What a competition's data must look like.

    Attributes:
        competition: its name on Kaggle.
        files: the files that hold every split, in order of preference.
        rows: how many rows each split has.
        md5: of the CSV, by its name; a CSV that is not named here is held to its rows alone.
    """

    competition: str
    files: tuple[str, ...]
    rows: Mapping[str, int]
    md5: Mapping[str, str]

    @property
    def url(self) -> str:
        """The competition's page."""
        return f"https://www.kaggle.com/competitions/{self.competition}"


FER2013 = Release(
    competition="challenges-in-representation-learning-facial-expression-recognition-challenge",
    files=("fer2013.tar.gz", "icml_face_data.csv", "fer2013.csv"),
    rows={"Training": 28_709, "PublicTest": 3_589, "PrivateTest": 3_589},
    # Source: torchvision.datasets.FER2013, which pins the same files. No SHA-256 is published.
    md5={
        "fer2013.csv": "f8428a1edbd21e88f42c73edd2a14f95",
        "icml_face_data.csv": "b114b9e04e6949e5fe8b6a98b3892b1d",
    },
)


@dataclass(frozen=True)
class Manifest:
    """What was fetched: written beside the file, and what a later fetch holds the file to."""

    competition: str
    file: str
    bytes: int
    sha256: str
    csv: str
    csv_md5: str
    csv_sha256: str
    rows: Mapping[str, int]
    fetched: str

    def write(self, folder: Path) -> None:
        """Put the manifest into `folder`, whole or not at all."""
        partial = folder / f"{MANIFEST}.partial"
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of `folder`, or None where there is none.

        Raises:
            DownloadError: there is one that cannot be read.
        """
        path = folder / MANIFEST
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DownloadError(
                f"{path} is no manifest of mien's ({error}). Delete it: the next fetch checks the data anew."
            ) from error


def check_unchanged(path: Path, manifest: Manifest) -> None:
    """Hold a file that was fetched earlier to its manifest.

    Raises:
        DownloadError: its SHA-256 is another.
    """
    found = _sha256(path)
    if (path.name, found) != (manifest.file, manifest.sha256):
        raise DownloadError(
            f"{path} is not what was fetched at {manifest.fetched}: its SHA-256 is {found}, and "
            f"{MANIFEST} beside it says {manifest.sha256} for {manifest.file}. Fetch it again with --force."
        )


def verify(path: Path, release: Release) -> Manifest:
    """The manifest of a file whose columns, rows, splits and known hashes are as they should be.

    Raises:
        DownloadError: they are not; the message says which, what was found and what to do.
    """
    again = "Fetch it again with: mien data fetch --force"
    try:
        with _open_csv(path) as (name, lines):
            tally = _tally(path, lines)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(f"{path} is damaged or cut short ({error}). {again}") from error
    if dict(tally.rows) != dict(release.rows):
        raise DownloadError(f"{path} has {_counts(tally.rows)}; expected {_counts(release.rows)}. {again}")
    if tally.md5 != release.md5.get(name, tally.md5):
        raise DownloadError(
            f"{name} in {path} has the right number of rows, but not the known content: its MD5 is "
            f"{tally.md5} where {release.md5[name]} is known. {again}"
        )
    return Manifest(
        competition=release.competition,
        file=path.name,
        bytes=path.stat().st_size,
        sha256=_sha256(path),
        csv=name,
        csv_md5=tally.md5,
        csv_sha256=tally.sha256,
        rows=dict(tally.rows),
        fetched=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True)
class _Tally:
    rows: Mapping[str, int]
    md5: str
    sha256: str


def _tally(path: Path, lines: Iterable[bytes]) -> _Tally:
    """Count the splits and hash the bytes in one pass, without keeping either."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    rows: Counter[str] = Counter()
    columns: list[str] = []
    for number, line in enumerate(lines, start=1):
        md5.update(line)
        sha256.update(line)
        fields = line.rstrip(b"\r\n").split(b",")
        if number == 1:
            columns = [field.decode("latin-1").strip() for field in fields]
            if sorted(columns) != ["Usage", "emotion", "pixels"]:
                raise DownloadError(f"{path} has the columns {columns}, not emotion, pixels and Usage.")
            continue
        row = dict(zip(columns, fields, strict=False))
        if len(fields) != len(columns) or len(row["pixels"].split()) != _PIXELS:
            raise DownloadError(f"{path}: line {number} is cut short or has not {_PIXELS:,} pixels.")
        rows[row["Usage"].decode("latin-1").strip()] += 1
    return _Tally(rows, md5.hexdigest(), sha256.hexdigest())


@contextmanager
def _open_csv(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the lines of the CSV that `path` is or holds."""
    if path.suffix == ".csv":
        with path.open("rb") as lines:
            yield path.name, lines
        return
    with tarfile.open(path, mode="r|gz") as archive:
        for member in archive:
            lines_of_member = archive.extractfile(member) if member.name.endswith("fer2013.csv") else None
            if lines_of_member is not None:
                yield os.path.basename(member.name), lines_of_member  # noqa: PTH119 (a name in an archive)
                return
    raise DownloadError(f"{path} holds no fer2013.csv.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in rows.items()) or "no rows"
