"""The study: data, training and model on one page, in the order of the original report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mien
from mien.auditing.audit import audit
from mien.data.table import FaceTable
from mien.data.votes import NO_MAJORITY, majority
from mien.errors import DataError, UsageError
from mien.evaluation.corruptions import CORRUPTIONS
from mien.evaluation.predictions import predict_split
from mien.evaluation.robustness import measure_robustness
from mien.loading import is_run, load_model, model_of_run
from mien.models.classifier import HeadClassifier, Model
from mien.models.registry import DEFAULT, find_model
from mien.progress import Progress, counter
from mien.reports import evaluation, explore, network, training
from mien.reports.audit import audit_sections
from mien.reports.document import Chapter, Document, Section
from mien.reports.network import NetworkDescription, network_of_card, network_of_run
from mien.reports.writer import write
from mien.runs.curves import Learning, read_runs

NAME = "study"
# Robustness takes 45 evaluations of each of these faces.
ROBUSTNESS_FACES = 400

# The places of the original report that have a figure or a table, or wish for one, and what each shows.
REPORT: dict[str, str] = {
    "figure 1": "the table",
    "figure 2": "one face per emotion",
    "section 2.1.2": "irregular images",
    "figure 3": "distribution of the emotions, and of usage",
    "figure 4": "emotions within each usage",
    "figure 5": "ways to enlarge a network",
    "figure 6": "compound scaling",
    "figure 7": "the layers of EfficientNet-B0",
    "section 3.1": "transforms of the training faces",
    "section 3.2.2": "learning rate and losses, and where the losses separate",
    "section 4.1": "accuracy, precision, recall and F1; images with their label",
    "section 5.2": "top two, several labels, binary tasks, other data",
}

_EVALUATION = (
    "This chapter corresponds to section 4.1 of the report, and to the wishes of its section 5.2. Read "
    "each number with its context: the number of faces, its confidence interval, and the faces on which "
    "the model is wrong."
)
_AUDIT = (
    "The report found empty images, drawings, watermarks and doubtful labels. It gave up searching for "
    "them, because a face detector rejected 99 % of all faces. Here each kind has a detector of its own. "
    "Nothing is removed: the findings are for a person to decide about. mien audit writes a page for that."
)
_TRAINING = (
    "Section 3.2.2 of the report shows the learning rate and the losses. Learning stopped around epoch 35, "
    "and the two losses separated before that. This is easily missed, because accuracy still increased."
)
# Sections by name, and the place of the report that each corresponds to.
_TRAINING_PLACES = {
    "loss": "section 3.2.2",
    "accuracy": "section 3.2.2",
    "gap": "section 3.2.2",
    "learning_rate": "section 3.2.2",
    "augmented": "section 3.1",
}
_LEAD = (
    "What the data contains, which problems it has, how a network was trained on it, and how good the "
    "result is. The page follows “Facial Emotion Recognition using EfficientNet”, called the report here."
)


class CachedModel:
    """A model that computes all heads of a face once: pixel-identical faces get the same predictions."""

    def __init__(self, model: Model) -> None:
        self.name, self.heads, self.temperatures = model.name, model.heads, model.temperatures
        self._model = model
        self._known: dict[bytes, dict[str, NDArray[np.float32]]] = {}

    def predict(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Probabilities by head, as the model gives them."""
        keys = [face.tobytes() for face in crops]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            given = self._model.predict(crops[list(new.values())])
            for i, key in enumerate(new):
                self._known[key] = {head: rows[i] for head, rows in given.items()}
        return {head: np.stack([self._known[key][head] for key in keys]) for head in self.heads}


@dataclass(frozen=True)
class StudyModel:
    """The model of a study.

    Attributes:
        network: its layers and how it was trained.
        model: what predicts, with the heads ``"fer2013"``, ``"votes"`` or both; None for no predictions.
        runs: folders of training runs to show.
        auditor: the model with which the audit searches for label errors; None for an audit of the pixels
            alone.
    """

    network: NetworkDescription
    model: Model | None = None
    runs: Sequence[Path] = ()
    auditor: Model | None = None
    classifiers: Mapping[str, HeadClassifier] = field(init=False)
    audit_classifier: HeadClassifier | None = field(init=False)

    def __post_init__(self) -> None:
        views = {} if self.model is None else _views(CachedModel(self.model))
        own = self.auditor is not None and self.auditor is self.model
        audits = views if own else {} if self.auditor is None else _views(self.auditor)
        object.__setattr__(self, "classifiers", views)
        # The head of votes also predicts "not a face".
        object.__setattr__(self, "audit_classifier", audits.get("votes") or audits.get("fer2013"))


def _views(model: Model) -> dict[str, HeadClassifier]:
    """The heads of a model that a study uses."""
    return {head: HeadClassifier(model, head) for head in ("fer2013", "votes") if head in model.heads}


def open_study_model(
    model: str | None, runs: Sequence[Path], audit_model: str | None = DEFAULT
) -> StudyModel:
    """The model of a name or path; for None what the first run was exported as, that run, or the default.

    `audit_model` is that of the audit: a weak model finds thousands of label errors that are its own errors.

    Raises:
        UsageError: a folder that is not a run; or a run that was not exported, and PyTorch is not installed.
        UnknownModel, CardError, ModelError: the model cannot be loaded.
    """
    for run in runs:
        if not is_run(run):
            raise UsageError(f"{run} is not the folder of a training run. Give one such as runs/NAME.")
    name = model or (str(model_of_run(runs[0])) if runs else DEFAULT)
    described = network_of_run(Path(name)) if is_run(name) else network_of_card(find_model(name).card)
    opened = load_model(name)
    same = audit_model == name
    auditor = opened if same else None if audit_model is None else load_model(audit_model)
    return StudyModel(described, opened, tuple(runs), auditor)


def study(
    table: FaceTable,
    subject: StudyModel,
    folder: Path,
    *,
    split: str = "PublicTest",
    on_chapter: Callable[[str], object] = lambda _: None,
    on_section: Callable[[str], None] = lambda _: None,
    progress: Progress | None = None,
) -> Path:
    """The path of study.html in the folder; beside it are each figure as PNG, SVG and PDF, and study.json.

    Args:
        table: the faces.
        subject: the model.
        folder: created if it does not exist. Files of those names are replaced.
        split: the faces on which the model is evaluated.
        on_chapter: called with the title of each chapter as it begins.
        on_section: called with the name of each section when its files are written.
        progress: called with what is at work, how much is done, and how much there is.

    Raises:
        DataError: the table is empty or has no such split, a folder is not a run, or the folder to write to
            cannot be created.
        ModelError: the model gave no probabilities.
        MissingExtra: matplotlib, pandas or jinja2 is not installed.
    """
    if not len(table):
        raise DataError(f"{table.source or 'the table'} contains no faces, so there is nothing to study.")
    evaluated = len(table.split(split))
    runs = read_runs(subject.runs) if subject.runs else []
    described = subject.network
    document = Document(
        name=NAME,
        title="Recognizing apparent expressions: a study",
        lead=_LEAD,
        chapters=chapters(table, subject, split, runs=runs, progress=progress),
        about={
            "data": explore.about(table),
            "model": {
                "name": described.name,
                "backbone": described.backbone,
                "evaluated_on": split,
                "audited_with": subject.auditor.name if subject.auditor else None,
            },
            "runs": [run.resolve().name for run in subject.runs],
        },
        facts=_facts(table, subject, split, evaluated),
        report_places=REPORT,
        missing={} if subject.runs else {"section 3.2.2": "give a training run with --run"},
    )
    return write(document, folder, on_chapter=on_chapter, on_section=on_section)


def chapters(
    table: FaceTable,
    subject: StudyModel,
    split: str,
    *,
    runs: Sequence[Learning] = (),
    progress: Progress | None = None,
) -> Iterator[Chapter]:
    """The chapters of a study; the sections of each are computed when they are needed."""
    yield explore.chapter(table)
    yield Chapter("audit", "Irregular faces", _AUDIT, _audited(table, subject, progress))
    yield network.chapter(subject.network)
    if runs:
        yield Chapter("training", "The training", _TRAINING, _placed(training.sections(runs)))
    if subject.classifiers:
        sections = _evaluated(table, subject, split, progress)
        yield Chapter("evaluation", "Evaluation of the model", _EVALUATION, sections)


def _audited(table: FaceTable, subject: StudyModel, progress: Progress | None) -> Iterator[Section]:
    """The findings of an audit with its model and the face detector."""
    for section in audit_sections(table, audit(table, subject.audit_classifier, progress=progress)):
        yield replace(section, report_place="section 2.1.2")


def _evaluated(
    table: FaceTable, subject: StudyModel, split: str, progress: Progress | None
) -> Iterator[Section]:
    """Every figure about the model's predictions."""
    head, classifier = next(iter(subject.classifiers.items()))
    predict = partial(predict_split, table=table, split=split, known_only=True)
    predictions = predict(classifier, head=head)
    voter = subject.classifiers.get("votes")
    voted = None
    if voter is not None and _has_majority(table, split):
        voted = predict(voter, head="votes", labels="ferplus")
    steps = sum(len(each.levels) for each in CORRUPTIONS) * min(len(predictions.truth), ROBUSTNESS_FACES)
    count = counter(progress, "measuring robustness", steps)
    yield evaluation.examples_section(predictions)
    yield from evaluation.sections(
        predictions,
        voted=voted,
        applied_temperature=classifier.model.temperatures[head],
        selected_on=subject.network.recipe.get("data", {}).get("validation", ""),
        robustness=measure_robustness(classifier, predictions, faces=ROBUSTNESS_FACES, progress=count),
    )


def _facts(table: FaceTable, subject: StudyModel, split: str, evaluated: int) -> dict[str, str]:
    splits = ", ".join(f"{name} {count:,}" for name, count in table.split_counts.items())
    facts = {
        "data": f"{table.source}: {len(table):,} faces ({splits})",
        "votes": "FER+, ten people per face" if table.votes is not None else "none: give them with --votes",
        "hash of the data": table.sha256[:16],
        "model": f"{subject.network.name} ({subject.network.backbone})",
        "audited with": subject.auditor.name if subject.auditor else "no model",
        "evaluated on": f"{split}, {evaluated:,} faces",
    }
    if subject.runs:
        facts["runs"] = ", ".join(run.resolve().name for run in subject.runs)
    return {**facts, "made by": f"mien {mien.__version__}"}


def _placed(sections: Iterable[Section]) -> Iterator[Section]:
    """The sections of the training, each with its place in the report."""
    for section in sections:
        yield replace(section, report_place=_TRAINING_PLACES.get(section.name, section.report_place))


def _has_majority(table: FaceTable, split: str) -> bool:
    """Whether any face of the split has a majority of votes."""
    return table.votes is not None and bool(
        (majority(table.votes[table.splits == split]) != NO_MAJORITY).any()
    )
