"""Irregular faces of a table: found, listed, and shown in a gallery. Nothing is removed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.auditing.detectors import duplicates, label_errors, outliers, placement, text_and_drawings, votes
from mien.auditing.findings import Finding, write_findings
from mien.auditing.gallery import gallery_html
from mien.auditing.inputs import TablePredictions, predict_table
from mien.auditing.precision import PrecisionAtK, measure_precision
from mien.data.table import FaceTable
from mien.detection.single_face import SingleFaceDetector, SingleFaces
from mien.errors import DataError, UsageError, reason
from mien.files import write_atomically
from mien.models.classifier import Classifier
from mien.progress import Progress, counter


@dataclass(frozen=True, eq=False)
class DetectorInputs:
    """What the detectors get.

    Attributes:
        table: the faces.
        predictions: of a model for each face, or None.
        faces: what the face detector found in each image, or None.
    """

    table: FaceTable
    predictions: TablePredictions | None = None
    faces: SingleFaces | None = None


# In the order in which a person should review the findings.
DETECTORS: dict[str, Callable[[DetectorInputs], Iterable[Finding]]] = {
    "blank": lambda inputs: outliers.find_blank(inputs.table),
    "duplicate": lambda inputs: duplicates.find_exact(inputs.table),
    "near duplicate": lambda inputs: duplicates.find_near(inputs.table),
    "not a face (votes)": lambda inputs: votes.find_not_a_face_by_votes(inputs.table),
    "not a face (model)": lambda inputs: outliers.find_not_a_face_by_model(inputs.table, inputs.predictions),
    "not a face": lambda inputs: outliers.find_not_a_face(inputs.table),
    "drawing": lambda inputs: text_and_drawings.find_drawings(inputs.table, inputs.predictions),
    "text": lambda inputs: text_and_drawings.find_text(inputs.table),
    "cut face": lambda inputs: placement.find_cut(inputs.table, inputs.faces),
    "tiny face": lambda inputs: placement.find_tiny(inputs.table, inputs.faces),
    "label (votes)": lambda inputs: votes.find_wrong_labels(inputs.table),
    "label": lambda inputs: label_errors.find_label_errors(inputs.table, inputs.predictions),
}


@dataclass(frozen=True, repr=False)
class Findings:
    """The findings of an audit, by detector and the highest score first.

    Iterate over it, or take ``findings.of("label")``.

    Attributes:
        findings: all of them.
        precision: how many of the first findings the FER+ votes confirm; empty without votes.
    """

    findings: tuple[Finding, ...]
    precision: tuple[PrecisionAtK, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind; 0 for a detector that found nothing."""
        counted = Counter(each.kind for each in self.findings)
        return {kind: counted[kind] for kind in DETECTORS}

    def of(self, kind: str) -> tuple[Finding, ...]:
        """The findings of one kind, the highest score first."""
        return tuple(each for each in self.findings if each.kind == kind)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __repr__(self) -> str:
        listed = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items() if count)
        return f"<Findings: {listed or 'none'}>"


def audit(
    table: FaceTable, classifier: Classifier | None = None, *, progress: Progress | None = None
) -> Findings:
    """All findings in a table, with a model and the face detector applied to every face.

    Args:
        table: the faces.
        classifier: predicts for every face. Without it, label errors are found from the pixels alone, and
            less well.
        progress: called with what is at work, how much is done, and how much there is.

    Raises:
        DataError: the table is empty.
        ModelError: the classifier gave no probabilities.
        MissingExtra: scikit-learn or cleanlab is not installed.
    """
    n = len(table)
    predictions = None
    if classifier is not None:
        count = counter(progress, f"predicting with {classifier.name}", n)
        predictions = predict_table(classifier, table, progress=count)
    faces = SingleFaceDetector().detect(table.pixels, progress=counter(progress, "detecting faces", n))
    return find(DetectorInputs(table, predictions, faces), progress=progress)


def find(inputs: DetectorInputs, *, progress: Progress | None = None) -> Findings:
    """The findings of all detectors.

    Raises:
        DataError: the table is empty.
        MissingExtra: scikit-learn or cleanlab is not installed.
    """
    table = inputs.table
    if not len(table):
        raise DataError(f"{table.source or 'the table'} contains no faces, so there is nothing to audit.")
    findings: list[Finding] = []
    count = counter(progress, "searching", len(DETECTORS))
    for detect in DETECTORS.values():
        findings += sorted(detect(inputs), key=lambda each: -each.score)
        count(1)
    precision = measure_precision(table, findings) if table.votes is not None else []
    return Findings(tuple(findings), tuple(precision))


def write(table: FaceTable, findings: Findings, folder: Path) -> tuple[Path, Path]:
    """The paths of findings.csv and gallery.html, written into the folder, which is created if missing.

    Raises:
        UsageError: the folder cannot be created.
        MissingExtra: jinja2 is not installed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be created: {reason(error)}. Choose another folder with --out."
        ) from error
    listed, page = folder / "findings.csv", folder / "gallery.html"
    write_findings(findings, listed)
    write_atomically(page, gallery_html(table, findings.findings))
    return listed, page
