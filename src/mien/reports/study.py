"""The study: everything about data, training and model on one page, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import mien
from mien.auditing.audit import audit
from mien.auditing.inputs import ask
from mien.data.table import FaceTable
from mien.data.votes import NO_MAJORITY, majority
from mien.detection.single_face import SingleFaceDetector
from mien.errors import DataError
from mien.evaluation.predictions import predict_split
from mien.evaluation.robustness import measure_robustness
from mien.models.classifier import Classifier
from mien.reports import evaluation, explore, network
from mien.reports import training as learning
from mien.reports.audit import audit_sections
from mien.reports.document import Chapter, Document, Section
from mien.reports.figures.examples import examples_section
from mien.reports.network import NetworkDescription
from mien.reports.writer import write
from mien.runs.curves import Learning, read_runs

NAME = "study"
# The most that a study has.
CHAPTERS = 5
# Damaging pictures in nine ways and five strengths takes 45 looks at each.
DAMAGED_FACES = 400

# The places of the report that have a figure or a table, or wish for one, and what stands there.
REPORT: dict[str, str] = {
    "figure 1": "the table",
    "figure 2": "a face for each emotion",
    "section 2.1.2": "irregular pictures",
    "figure 3": "distribution of the emotions, and of usage",
    "figure 4": "emotions within each usage",
    "figure 5": "ways to make a network larger",
    "figure 6": "compound scaling",
    "figure 7": "the layers of EfficientNet-B0",
    "section 3.1": "the transforms of training faces",
    "section 3.2.2": "learning rate, losses, and where they part",
    "section 4.1": "accuracy, precision, recall and F1; pictures and their label",
    "section 5.2": "top two, several labels, binary framings, other data",
}

_JUDGING = (
    "The report's section 4.1, and what its section 5.2 wished for. A number is worth what stands beside "
    "it: how many faces, how it could have come out by chance, and on which faces the model is wrong."
)
_AUDIT = (
    "The report met empty pictures, drawings, watermarks and doubtful labels, and gave up looking for them "
    "when a face detector threw away 99 % of all faces. Here each kind is looked for in its own way, and "
    "nothing is dropped: these are suspicions, for a person to decide about. mien audit writes a page to do "
    "that quickly."
)
_LEARNING = (
    "The report's section 3.2.2 plotted the learning rate and the losses, and found that learning stopped "
    "around epoch 35, while the two losses parted before. Accuracy was still rising then, which is why that "
    "is easily missed."
)
# Parts by name, and the place of the report that each is the counterpart of.
_LEARNED = {
    "loss": "section 3.2.2",
    "accuracy": "section 3.2.2",
    "gap": "section 3.2.2",
    "learning_rate": "section 3.2.2",
    "augmented": "section 3.1",
}
_LEAD = (
    "What the data holds, what is wrong with it, how a network learned from it, and how far the result can "
    "be believed. It follows “Facial Emotion Recognition using EfficientNet”, called the report here."
)


@dataclass(frozen=True)
class StudyModel:
    """The model that a study is about.

    Attributes:
        network: its layers and how it was trained.
        classifiers: what answers, by name of the head: ``"fer2013"``, and ``"votes"`` where it has one.
        temperature: that the classifier of the labels divides its logits by; 1 where it has none.
        runs: folders of training runs whose learning is shown.
    """

    network: NetworkDescription
    classifiers: Mapping[str, Classifier] = field(default_factory=dict)
    temperature: float = 1.0
    runs: Sequence[Path] = ()


def study(
    table: FaceTable,
    subject: StudyModel,
    folder: Path,
    *,
    split: str = "PublicTest",
    begin: Callable[[str], None] = lambda _: None,
    done: Callable[[str], None] = lambda _: None,
    asked: Callable[[int], None] = lambda _: None,
) -> Path:
    """The page study.html in the folder, beside each figure as PNG and SVG and study.json.

    Args:
        table: the faces.
        subject: the model.
        folder: written to; made if it is not there. Files of those names are replaced.
        split: the faces on which the model is judged.
        begin: told the title of each chapter as it begins.
        done: told the name of each part when its files are written.
        asked: told how many faces the model or the face detector looked at, batch by batch.

    Raises:
        DataError: the table is empty or has no such split, a folder is no run's, or the one to write to
            cannot be made.
        ModelError: the model's answers are no probabilities.
        MissingExtra: matplotlib or pandas is not installed.
    """
    if not len(table):
        raise DataError(f"{table.source or 'the table'} holds no faces, so there is nothing to study.")
    judged = len(table.split(split))
    runs = read_runs(subject.runs) if subject.runs else []
    document = Document(
        name=NAME,
        title="Reading apparent expressions: a study",
        lead=_LEAD,
        chapters=chapters(table, subject, split, runs=runs, asked=asked),
        about={
            "data": explore.about(table),
            "model": {"name": subject.network.name, "backbone": subject.network.backbone, "judged_on": split},
            "runs": [run.resolve().name for run in subject.runs],
        },
        facts=_facts(table, subject, split, judged),
        sought=REPORT,
        absent={} if subject.runs else {"section 3.2.2": "give a training run with --run"},
    )
    return write(document, folder, begin=begin, done=done)


def chapters(
    table: FaceTable,
    subject: StudyModel,
    split: str,
    *,
    runs: Sequence[Learning] = (),
    asked: Callable[[int], None] = lambda _: None,
) -> Iterator[Chapter]:
    """The chapters of a study, each worked out when its parts are asked for.

    `runs` are those whose learning is shown, `asked` is told how many faces were looked at.
    """
    yield explore.chapter(table)
    yield Chapter("audit", "Irregularities", _AUDIT, _irregular(table, subject, asked))
    yield network.chapter(subject.network)
    if runs:
        yield Chapter("learning", "Seeing the learning", _LEARNING, _at(_LEARNED, learning.sections(runs)))
    if subject.classifiers:
        yield Chapter("judging", "Judging the model", _JUDGING, _judged(table, subject, split, asked))


def _irregular(table: FaceTable, subject: StudyModel, asked: Callable[[int], None]) -> Iterator[Section]:
    """What an audit finds, with all that the model and the face detector say of every face."""
    classifier = subject.classifiers.get("votes") or subject.classifiers.get("fer2013")
    answers = None if classifier is None else ask(classifier, table, progress=asked)
    seen = SingleFaceDetector().detect(table.pixels, progress=asked)
    for section in audit_sections(table, audit(table, answers=answers, faces=seen)):
        yield replace(section, report="section 2.1.2")


def _judged(
    table: FaceTable, subject: StudyModel, split: str, asked: Callable[[int], None]
) -> Iterator[Section]:
    """Every figure about the model's answers, and the model at work."""
    head, classifier = next(iter(subject.classifiers.items()))
    answer = partial(predict_split, table=table, split=split, known_only=True, progress=asked)
    predictions = answer(classifier, head=head)
    voter = subject.classifiers.get("votes")
    voted = None
    if voter is not None and _has_majority(table, split):
        voted = answer(voter, head="votes", labels="ferplus")
    yield examples_section(predictions)
    yield from evaluation.sections(
        predictions,
        voted=voted,
        applied_temperature=subject.temperature,
        robustness=measure_robustness(classifier, predictions, faces=DAMAGED_FACES, progress=asked),
    )


def _facts(table: FaceTable, subject: StudyModel, split: str, judged: int) -> dict[str, str]:
    splits = ", ".join(f"{name} {count:,}" for name, count in table.split_counts.items())
    facts = {
        "data": f"{table.source}: {len(table):,} faces ({splits})",
        "votes": "FER+, ten people a face" if table.votes is not None else "none: give them with --votes",
        "hash of the data": table.sha256[:16],
        "model": f"{subject.network.name} ({subject.network.backbone})",
        "judged on": f"{split}, {judged:,} faces",
    }
    if subject.runs:
        facts["runs"] = ", ".join(run.resolve().name for run in subject.runs)
    return {**facts, "made by": f"mien {mien.__version__}"}


def _at(places: Mapping[str, str], sections: Iterable[Section]) -> Iterator[Section]:
    """The parts, those of these names marked as counterparts of these places of the report."""
    for section in sections:
        marked = section.name in places and not section.report
        yield replace(section, report=places[section.name]) if marked else section


def _has_majority(table: FaceTable, split: str) -> bool:
    """Whether any face of the split has a majority of votes."""
    return table.votes is not None and bool(
        (majority(table.votes[table.splits == split]) != NO_MAJORITY).any()
    )
