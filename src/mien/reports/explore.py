"""The sections about a data set, and the page of `mien explore`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.table import UNLABELLED, FaceTable
from mien.data.votes import agreement
from mien.errors import DataError
from mien.reports.document import Chapter, Document, Section
from mien.reports.figures import counts
from mien.reports.figures import faces as face_figures
from mien.reports.figures import votes as vote_figures
from mien.reports.writer import write

_TEXT = (
    "This chapter corresponds to section 2.1 of the report, and adds to it. The frequency of each emotion, "
    "the appearance of its faces and the agreement of people limit how good any model can be."
)


def sections(table: FaceTable) -> Iterator[Section]:
    """The parts that this table can give, in their order: those on labels or votes only where there are any.

    Raises:
        MissingExtra: pandas is not installed.
    """
    labelled = bool((table.labels != UNLABELLED).any())
    yield _first_rows(table)
    if labelled:
        yield _representatives(table)
    yield from _counts(table)
    if labelled:
        yield _mean_faces(table)
    yield _lighting(table)
    if table.votes is not None:
        if labelled:
            yield _votes_by_label(table)
            yield _agreement(table)
        yield from _disagreement(table)


def chapter(table: FaceTable) -> Chapter:
    """Looking at the data, as a chapter of a page."""
    return Chapter("data", "The data", _TEXT, sections(table))


def explore(table: FaceTable, folder: Path, *, on_section: Callable[[str], None] = lambda _: None) -> Path:
    """The page explore.html, beside each figure as PNG, SVG and PDF and explore.json.

    Args:
        table: the faces.
        folder: written to; made if it is not there. Files of those names are replaced.
        on_section: called with the name of each section when its files are written.

    Raises:
        DataError: the table is empty, or the folder cannot be made.
        MissingExtra: matplotlib or pandas is not installed.
    """
    if not len(table):
        raise DataError(f"{table.source or 'the table'} contains no faces, so there is nothing to explore.")
    height, width = table.pixels.shape[1:]
    document = Document(
        name="explore",
        title="Exploration of the data",
        lead=f"{table.source}: {len(table):,} faces of {width} x {height} pixels.",
        chapters=[chapter(table)],
        about={"data": about(table)},
    )
    return write(document, folder, on_section=on_section)


def about(table: FaceTable) -> dict[str, Any]:
    """What was read, as plain data: source, hash, faces by split, whether there are votes."""
    return {
        "source": table.source,
        "sha256": table.sha256,
        "faces": len(table),
        "splits": counts.count(table).splits,
        "votes": table.votes is not None,
    }


def _first_rows(table: FaceTable) -> Section:
    frame = counts.first_rows(table)
    return Section(
        "first_rows",
        "The table",
        "The first rows of the table. A face is one row: the number of its emotion, its pixels from 0 "
        "(black) to 255 (white) line by line, and its usage. Only the first pixels are shown.",
        (8, 0.5 + 0.36 * (len(frame) + 1)),
        lambda axes: counts.draw_first_rows(axes, frame),
        frame.reset_index().to_dict(orient="records"),
        report_place="figure 1",
    )


def _representatives(table: FaceTable) -> Section:
    chosen = face_figures.representatives(table)
    how = "among the faces with the most votes for the label, " if table.votes is not None else ""
    return Section(
        "representatives",
        "One face per emotion",
        "The pixels as an image, with the label. The report found some labels questionable, because a face "
        f"can show two emotions. Typical faces are selected by a rule: {how}the one with the highest "
        "correlation with the mean face of its emotion.",
        (1.55 * len(chosen), 2.3 if table.votes is None else 2.5),
        lambda axes: face_figures.draw_representatives(axes, table, chosen),
        {name: int(table.rows[index]) for name, index in chosen.items()},
        report_place="figure 2",
        alt="A row of faces, one for each emotion: " + ", ".join(chosen),
    )


def _counts(table: FaceTable) -> Iterator[Section]:
    counted = counts.count(table)
    numbers = dataclasses.asdict(counted)
    labelled = sum(counted.emotions.values())
    if labelled:
        most = max(counted.emotions, key=lambda name: counted.emotions[name])
        share = counted.emotions[most] / labelled
        yield Section(
            "emotions",
            "Distribution of the emotions",
            f"Always predicting {most} is correct for {share:.1%} of these faces; a model must be better "
            "than that. Accuracy depends little on rare classes, so use the recall per class and macro F1, "
            "too.",
            (7.5, 4),
            lambda axes: counts.draw_emotions(axes, counted),
            numbers["emotions"],
            report_place="figure 3",
        )
    yield Section(
        "usage",
        "Distribution of usage",
        "Training is for learning, PublicTest for selecting models, PrivateTest for one evaluation at the "
        "end. Only the usages in this data are shown.",
        (2.2 + 1.3 * len(counted.splits), 3.6),
        lambda axes: counts.draw_splits(axes, counted),
        numbers["splits"],
        report_place="figure 3",
    )
    if labelled:
        yield Section(
            "emotions_by_split",
            "Emotions within each usage",
            "If the bars of an emotion have equal heights, the splits have the same distribution, and "
            "results on one are valid for the other.",
            (9.5, 4.4),
            lambda axes: counts.draw_by_split(axes, counted),
            numbers["by_split"],
            report_place="figure 4",
        )


def _mean_faces(table: FaceTable) -> Section:
    means = face_figures.mean_faces(table)
    return Section(
        "mean_faces",
        "Mean faces",
        "The mean of all faces of an emotion. Sharp regions are common to its faces: the open mouth of "
        "surprise, the teeth of a smile. Emotions with similar means are hard to separate.",
        (1.55 * len(means), 2.3),
        lambda axes: face_figures.draw_mean_faces(axes, table, means),
        {name: round(float(mean.mean()), 2) for name, mean in means.items()},
        alt="A row of blurred faces, the mean of each emotion: " + ", ".join(means),
    )


def _lighting(table: FaceTable) -> Section:
    lighting = face_figures.measure_lighting(table)
    return Section(
        "lighting",
        "Brightness and contrast",
        "One dot per face. The lighting of the photos varies, so training varies it too. Dots at the "
        "bottom have no contrast: these images are blank, and mien audit lists them.",
        (8.2, 4.6),
        lambda axes: face_figures.draw_lighting(axes, table, lighting),
        lighting.quantiles(),
    )


def _votes_by_label(table: FaceTable) -> Section:
    matrix = vote_figures.votes_by_label(table)
    shares = [dict(zip(matrix.choices, row, strict=True)) for row in np.round(matrix.shares, 5).tolist()]
    return Section(
        "votes_by_label",
        "Votes per label",
        "For FER+, ten people labelled every face again. Each row is a label; its cells are the shares of "
        "the votes for its faces. Outside the diagonal, people disagree with the label.",
        (9, 4.4),
        lambda axes: vote_figures.draw_votes_by_label(axes, matrix),
        dict(zip(matrix.labels, shares, strict=True)),
    )


def _agreement(table: FaceTable) -> Section:
    found = vote_figures.label_agreement(table)
    agreed = agreement(table)
    text = "The choice with the most votes, compared with the label."
    if agreed is not None:
        text += (
            f" For {agreed.share:.1%} of the faces it is the label. A model whose accuracy is higher has "
            "learned how the labels were made, not only the appearance of faces."
        )
    return Section(
        "agreement",
        "Agreement with the label",
        text,
        (9, 4.2),
        lambda axes: vote_figures.draw_label_agreement(axes, found),
        {
            name: dict(zip(vote_figures.OUTCOMES, row, strict=True))
            for name, row in zip(found.labels, found.faces.tolist(), strict=True)
        },
    )


def _disagreement(table: FaceTable) -> Iterator[Section]:
    entropy = vote_figures.entropy_bits(table.votes) if table.votes is not None else np.empty(0)
    yield Section(
        "vote_entropy",
        "Disagreement of the voters",
        "The entropy is 0 bits if all voters agree, and 1 bit if two choices have half of the votes each. "
        "No model can agree with everyone on the faces with a high entropy; a calibrated one has a low "
        "confidence there.",
        (8, 4),
        lambda axes: vote_figures.draw_entropy(axes, table),
        {"mean_bits": float(np.nanmean(entropy)), "median_bits": float(np.nanmedian(entropy))},
    )
    disputed = vote_figures.most_disputed(table)
    yield Section(
        "most_disputed",
        "The most disputed faces",
        "The faces with the highest entropy of the votes: they can be interpreted in several ways.",
        (12, 2.15 * -(-len(disputed) // 8) + 0.4),
        lambda axes: vote_figures.draw_disputed(axes, table, disputed),
        [{"row": int(table.rows[i]), "bits": round(float(entropy[i]), 4)} for i in disputed],
    )
