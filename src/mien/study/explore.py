"""A look at a table of faces: every figure as PNG and SVG, their numbers as JSON, and one page of all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.agreement import agreement
from mien.data.table import UNLABELLED, FaceTable
from mien.errors import DataError
from mien.study import counts, looks, opinions
from mien.study.drawing import Draw, new_figure, save
from mien.study.page import Section, image, page


@dataclass(frozen=True)
class Part:
    """One figure of the study.

    Attributes:
        name: of its files.
        title: of its section.
        text: what it shows and how to read it, a sentence or two.
        size: of the figure, inches.
        draw: draws it on an axis.
        numbers: what it shows as plain data, for JSON.
    """

    name: str
    title: str
    text: str
    size: tuple[float, float]
    draw: Draw
    numbers: Any


def parts(table: FaceTable) -> Iterator[Part]:
    """The parts that this table can give, in their order: those on labels or votes only where there are any.

    Raises:
        MissingExtra: pandas is not installed.
    """
    yield _glimpse(table)
    if (table.labels != UNLABELLED).any():
        yield _representatives(table)
    yield from _counts(table)
    if (table.labels != UNLABELLED).any():
        means = looks.mean_faces(table)
        yield Part(
            "mean_faces",
            "Mean faces",
            "The mean of all faces of an emotion. The sharper, the more alike they lie in their pictures.",
            (1.55 * len(means), 2.3),
            lambda axes: looks.draw_mean_faces(axes, table, means),
            {name: round(float(mean.mean()), 2) for name, mean in means.items()},
        )
    light = looks.light(table)
    yield Part(
        "light",
        "Brightness and contrast",
        "One dot a face. Those on the ground, without contrast, are blank: mien audit names them.",
        (8.2, 4.6),
        lambda axes: looks.draw_light(axes, table, light),
        light.quantiles(),
    )
    if table.votes is not None:
        yield from _opinions(table)


def explore(table: FaceTable, folder: Path, *, done: Callable[[str], None] = lambda _: None) -> Path:
    """The page explore.html, beside each figure as PNG and SVG and explore.json.

    Args:
        table: the faces.
        folder: written to; made if it is not there. Files of those names are replaced.
        done: told the name of each part when its files are written.

    Raises:
        DataError: the table is empty, or the folder cannot be made.
        MissingExtra: matplotlib or pandas is not installed.
    """
    if not len(table):
        raise DataError(f"{table.source or 'the table'} holds no faces, so there is nothing to look at.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error}. Choose another folder with --out.") from error
    sections, numbers = [], {"source": table.source, "sha256": table.sha256}
    for part in parts(table):
        figure, axes = new_figure(*part.size)
        part.draw(axes)
        png, _ = save(figure, folder, part.name)
        sections.append(Section(part.name, part.title, part.text, image(png, part.title)))
        numbers[part.name] = part.numbers
        done(part.name)
    height, width = table.pixels.shape[1:]
    lead = f"{table.source}: {len(table):,} faces of {width} x {height} pixels."
    text = json.dumps(numbers, indent=2, ensure_ascii=False) + "\n"
    (folder / "explore.json").write_text(text, encoding="utf-8")
    written = folder / "explore.html"
    written.write_text(page("A look at the data", lead, sections), encoding="utf-8")
    return written


def _glimpse(table: FaceTable) -> Part:
    frame = counts.glimpse(table)
    return Part(
        "glimpse",
        "The table",
        "Its first rows, with the first of each face's pixels.",
        (8, 0.5 + 0.36 * (len(frame) + 1)),
        lambda axes: counts.draw_glimpse(axes, frame),
        frame.reset_index().to_dict(orient="records"),
    )


def _representatives(table: FaceTable) -> Part:
    chosen = looks.representatives(table)
    how = "among the faces on which most people voted for the label, " if table.votes is not None else ""
    return Part(
        "representatives",
        "A face for each emotion",
        f"Chosen by rule: {how}the one that correlates most with the mean face of its emotion.",
        (1.55 * len(chosen), 2.3),
        lambda axes: looks.draw_representatives(axes, table, chosen),
        {name: int(table.rows[place]) for name, place in chosen.items()},
    )


def _counts(table: FaceTable) -> Iterator[Part]:
    counted = counts.count(table)
    numbers = dataclasses.asdict(counted)
    if any(counted.emotions.values()):
        yield Part(
            "emotions",
            "Distribution of the emotions",
            "Where one class is rare, accuracy says little of it; look at macro F1 too.",
            (7.5, 4),
            lambda axes: counts.draw_emotions(axes, counted),
            numbers["emotions"],
        )
    yield Part(
        "usage",
        "Distribution of usage",
        "Only what is in this data; a usage that it lacks is left out.",
        (2.2 + 1.3 * len(counted.splits), 3.6),
        lambda axes: counts.draw_splits(axes, counted),
        numbers["splits"],
    )
    if any(counted.emotions.values()):
        yield Part(
            "emotions_by_usage",
            "Emotions within each usage",
            "Where the bars of each emotion are alike, what is measured on one split holds for the other.",
            (9.5, 4.4),
            lambda axes: counts.draw_by_split(axes, counted),
            numbers["by_split"],
        )


def _opinions(table: FaceTable) -> Iterator[Part]:
    if (table.labels != UNLABELLED).any():
        matrix = opinions.labels_and_votes(table)
        agreed = agreement(table)
        text = "Each row: of all votes for the faces of a label, the share of each answer."
        if agreed is not None:
            text += f" On {agreed.share:.1%} of the faces the label is the one answer with most votes."
        shares = [dict(zip(matrix.answers, row, strict=True)) for row in np.round(matrix.shares, 5).tolist()]
        yield Part(
            "labels_and_votes",
            "Label and votes",
            text,
            (9, 4.4),
            lambda axes: opinions.draw_labels_and_votes(axes, matrix),
            {
                "votes_by_label": dict(zip(matrix.labels, shares, strict=True)),
                "agreement": None
                if agreed is None
                else {**dataclasses.asdict(agreed), "share": agreed.share},
            },
        )
    entropy = opinions.entropy_bits(table.votes) if table.votes is not None else np.empty(0)
    yield Part(
        "votes_entropy",
        "How much people disagreed",
        "Even people do not agree on a face: no model can be right for all of them.",
        (8, 4),
        lambda axes: opinions.draw_entropy(axes, table),
        {"mean_bits": float(np.nanmean(entropy)), "median_bits": float(np.nanmedian(entropy))},
    )
    disputed = opinions.most_disputed(table)
    yield Part(
        "most_disputed",
        "The most disputed faces",
        "Highest entropy of the votes first.",
        (12, 2.15 * -(-len(disputed) // 8) + 0.4),
        lambda axes: opinions.draw_disputed(axes, table, disputed),
        [{"row": int(table.rows[i]), "bits": round(float(entropy[i]), 4)} for i in disputed],
    )
