"""Irregular faces of a table: found, listed, shown in a gallery. Nothing is dropped here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.data.table import FaceTable
from mien.errors import DataError
from mien.study import doubt, gallery, strange, twins
from mien.study.findings import Finding, write_findings
from mien.study.precision import Precision, precision

Detector = Callable[[FaceTable], Iterator[Finding]]

# In the order in which a person should look through what they find.
DETECTORS: dict[str, Detector] = {
    "blank": strange.blank,
    "duplicate": twins.exact,
    "near duplicate": twins.near,
    "not a face (votes)": doubt.not_a_face_by_votes,
    "not a face": strange.not_a_face,
    "label (votes)": doubt.by_votes,
}


@dataclass(frozen=True)
class Audit:
    """What was found, by detector and surest first, and, with votes, how often each detector is right."""

    findings: tuple[Finding, ...]
    precision: tuple[Precision, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind; 0 for a detector that found nothing."""
        found = Counter(each.kind for each in self.findings)
        return {kind: found[kind] for kind in DETECTORS}


def audit(table: FaceTable, *, done: Callable[[str], None] = lambda _: None) -> Audit:
    """Everything that the detectors find in the table.

    `done` is told the name of each detector as it ends.

    Raises:
        DataError: the table is empty.
    """
    if not len(table):
        raise DataError(f"{table.source or 'the table'} holds no faces, so there is nothing to audit.")
    findings: list[Finding] = []
    for name, detect in DETECTORS.items():
        findings += sorted(detect(table), key=lambda each: -each.score)
        done(name)
    return Audit(tuple(findings), tuple(precision(table, findings)) if table.votes is not None else ())


def write(table: FaceTable, found: Audit, folder: Path) -> tuple[Path, Path]:
    """findings.csv and gallery.html in the folder, which is made if it is not there.

    Raises:
        DataError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error}. Choose another folder with --out.") from error
    listed, page = folder / "findings.csv", folder / "gallery.html"
    write_findings(found.findings, listed)
    page.write_text(gallery.page(table, found.findings), encoding="utf-8")
    return listed, page
