"""The checks of a downloaded FER2013: its rows and hashes, and a manifest of what was fetched."""

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
from mien.files import sha256_file, write_atomically

MANIFEST = "manifest.json"
_PIXELS = 48 * 48


@dataclass(frozen=True)
class Release:
    """What is expected of a competition's data.

    Attributes:
        competition: its name on Kaggle.
        files: the files with all splits, in order of preference.
        rows: how many rows each split has.
        md5: of the CSV, by its name; of other CSV files only the rows are checked.
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
    """What was fetched: written beside the file, and compared with the file by a later fetch."""

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
        """Write the manifest into `folder`, complete or not at all."""
        write_atomically(folder / MANIFEST, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of `folder`, or None where there is none.

        Raises:
            DownloadError: it cannot be read.
        """
        path = folder / MANIFEST
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DownloadError(
                f"{path} cannot be read as a manifest of mien ({error}). Delete it; the next "
                "fetch checks the data again."
            ) from error


def check_unchanged(path: Path, manifest: Manifest) -> None:
    """Compare a file that was fetched earlier with its manifest.

    Raises:
        DownloadError: its SHA-256 differs.
    """
    sha256 = sha256_file(path)
    if (path.name, sha256) != (manifest.file, manifest.sha256):
        raise DownloadError(
            f"{path} is not what was fetched at {manifest.fetched}: its SHA-256 is {sha256}, but "
            f"{MANIFEST} beside it has {manifest.sha256} for {manifest.file}. Fetch it again with --force."
        )


def verify(path: Path, release: Release) -> Manifest:
    """The manifest of a file with the expected columns, rows, splits and hashes.

    Raises:
        DownloadError: they are not; the message has the difference and the remedy.
    """
    again = "Fetch it again with: mien data fetch --force"
    try:
        with _open_csv(path) as (name, lines):
            summary = _summarize(path, lines)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(f"{path} is damaged or cut short ({error}). {again}") from error
    if dict(summary.rows) != dict(release.rows):
        raise DownloadError(f"{path} has {_counts(summary.rows)}; expected {_counts(release.rows)}. {again}")
    if summary.md5 != release.md5.get(name, summary.md5):
        raise DownloadError(
            f"{name} in {path} has the right number of rows, but other content: its MD5 is "
            f"{summary.md5}, expected {release.md5[name]}. {again}"
        )
    return Manifest(
        competition=release.competition,
        file=path.name,
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        csv=name,
        csv_md5=summary.md5,
        csv_sha256=summary.sha256,
        rows=dict(summary.rows),
        fetched=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True)
class _CsvSummary:
    rows: Mapping[str, int]
    md5: str
    sha256: str


def _summarize(path: Path, lines: Iterable[bytes]) -> _CsvSummary:
    """Count the rows of each split and hash the bytes, in one pass."""
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
            raise DownloadError(f"{path}: line {number} is cut short or does not have {_PIXELS:,} pixels.")
        rows[row["Usage"].decode("latin-1").strip()] += 1
    return _CsvSummary(rows, md5.hexdigest(), sha256.hexdigest())


@contextmanager
def _open_csv(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the lines of the CSV at or in `path`."""
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
    raise DownloadError(f"{path} does not contain fer2013.csv.")


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in rows.items()) or "no rows"
