"""Irregular faces of a table: found, listed, shown in a gallery. Nothing is dropped here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.auditing import gallery
from mien.auditing.detectors import duplicates as twins
from mien.auditing.detectors import label_errors as confident
from mien.auditing.detectors import outliers as strange
from mien.auditing.detectors import placement as placed
from mien.auditing.detectors import text_and_drawings as marks
from mien.auditing.detectors import votes as doubt
from mien.auditing.findings import Finding, write_findings
from mien.auditing.inputs import Answers
from mien.auditing.precision import Precision, precision
from mien.data.table import FaceTable
from mien.detection.single_face import SingleFaces
from mien.errors import DataError
from mien.reports.audit import parts_of
from mien.reports.document import Part


@dataclass(frozen=True, eq=False)
class Clues:
    """What the detectors look at.

    Attributes:
        table: the faces.
        answers: what a model said of each, None where none was asked.
        faces: what the face detector found in each, None where it did not look.
    """

    table: FaceTable
    answers: Answers | None = None
    faces: SingleFaces | None = None


Detector = Callable[[Clues], Iterable[Finding]]

# In the order in which a person should look through what they find.
DETECTORS: dict[str, Detector] = {
    "blank": lambda clues: strange.blank(clues.table),
    "duplicate": lambda clues: twins.exact(clues.table),
    "near duplicate": lambda clues: twins.near(clues.table),
    "not a face (votes)": lambda clues: doubt.not_a_face_by_votes(clues.table),
    "not a face (model)": lambda clues: strange.not_a_face_by_model(clues.table, clues.answers),
    "not a face": lambda clues: strange.not_a_face(clues.table),
    "drawing": lambda clues: marks.drawing(clues.table, clues.answers),
    "text": lambda clues: marks.text(clues.table),
    "cut face": lambda clues: [] if clues.faces is None else placed.cut(clues.table, clues.faces),
    "tiny face": lambda clues: [] if clues.faces is None else placed.small(clues.table, clues.faces),
    "label (votes)": lambda clues: doubt.by_votes(clues.table),
    "label": lambda clues: confident.doubted_labels(clues.table, clues.answers),
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


def audit(
    table: FaceTable,
    *,
    answers: Answers | None = None,
    faces: SingleFaces | None = None,
    done: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Everything that the detectors find in the table.

    Args:
        table: the faces.
        answers: what a model said of them (`mien.auditing.inputs.ask`). Without, label errors are found from
            the pixels alone, less well.
        faces: the detector's results (`mien.detection.single_face.SingleFaceDetector`). Without them no cut
            or tiny face is found.
        done: told the name of each detector as it ends.

    Raises:
        DataError: the table is empty.
        MissingExtra: scikit-learn or cleanlab is not installed.
    """
    if not len(table):
        raise DataError(f"{table.source or 'the table'} holds no faces, so there is nothing to audit.")
    clues = Clues(table, answers, faces)
    findings: list[Finding] = []
    for name, detect in DETECTORS.items():
        findings += sorted(detect(clues), key=lambda each: -each.score)
        done(name)
    return Audit(tuple(findings), tuple(precision(table, findings)) if table.votes is not None else ())


def parts(table: FaceTable, found: Audit) -> Iterator[Part]:
    """The audit's figures for a report: counts by kind, the surest faces of each kind, and the precision.

    A kind without findings has no strip of faces; without votes there is no precision.
    """
    return parts_of(table, found.findings, found.counts, found.precision)


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
