"""Irregular faces of a table: found, listed, shown in a gallery. Nothing is dropped here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.auditing import gallery
from mien.auditing.detectors import duplicates, label_errors, outliers, placement, text_and_drawings, votes
from mien.auditing.findings import Finding, write_findings
from mien.auditing.inputs import TablePredictions
from mien.auditing.precision import Precision, precision
from mien.data.table import FaceTable
from mien.detection.single_face import SingleFaces
from mien.errors import DataError


@dataclass(frozen=True, eq=False)
class DetectorInputs:
    """What the detectors look at.

    Attributes:
        table: the faces.
        answers: what a model said of each, None where none was asked.
        faces: what the face detector found in each, None where it did not look.
    """

    table: FaceTable
    answers: TablePredictions | None = None
    faces: SingleFaces | None = None


Detector = Callable[[DetectorInputs], Iterable[Finding]]

# In the order in which a person should look through what they find.
DETECTORS: dict[str, Detector] = {
    "blank": lambda inputs: outliers.find_blank(inputs.table),
    "duplicate": lambda inputs: duplicates.find_exact(inputs.table),
    "near duplicate": lambda inputs: duplicates.find_near(inputs.table),
    "not a face (votes)": lambda inputs: votes.find_not_a_face_by_votes(inputs.table),
    "not a face (model)": lambda inputs: outliers.find_not_a_face_by_model(inputs.table, inputs.answers),
    "not a face": lambda inputs: outliers.find_not_a_face(inputs.table),
    "drawing": lambda inputs: text_and_drawings.find_drawings(inputs.table, inputs.answers),
    "text": lambda inputs: text_and_drawings.find_text(inputs.table),
    "cut face": lambda inputs: [] if inputs.faces is None else placement.find_cut(inputs.table, inputs.faces),
    "tiny face": lambda inputs: (
        [] if inputs.faces is None else placement.find_tiny(inputs.table, inputs.faces)
    ),
    "label (votes)": lambda inputs: votes.find_wrong_labels(inputs.table),
    "label": lambda inputs: label_errors.find_label_errors(inputs.table, inputs.answers),
}


@dataclass(frozen=True)
class Findings:
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
    answers: TablePredictions | None = None,
    faces: SingleFaces | None = None,
    done: Callable[[str], None] = lambda _: None,
) -> Findings:
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
    inputs = DetectorInputs(table, answers, faces)
    findings: list[Finding] = []
    for name, detect in DETECTORS.items():
        findings += sorted(detect(inputs), key=lambda each: -each.score)
        done(name)
    return Findings(tuple(findings), tuple(precision(table, findings)) if table.votes is not None else ())


def write(table: FaceTable, found: Findings, folder: Path) -> tuple[Path, Path]:
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
