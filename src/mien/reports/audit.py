"""The sections of an audit: findings by kind, the first faces of each kind, and the precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mien.auditing.audit import Findings
from mien.auditing.findings import Finding
from mien.auditing.precision import PrecisionAtK
from mien.data.table import FaceTable
from mien.plotting import COLOURS, QUIET, draw_faces, quiet
from mien.reports.document import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STRIP = 10
# Below this standard deviation of its pixels, a face in a strip is one color.
_BLANK = 5.0


# Kinds whose most confident findings are often blank images, and what the text adds about them.
_LEFT_OUT = {"duplicate": " Blank images, which are equal to each other, are not shown."}


def audit_sections(table: FaceTable, found: Findings) -> Iterator[Section]:
    """One part for the counts, one for each kind that was found, one for the precision if it was measured."""
    counts, measured = found.counts, found.precision
    yield Section(
        "audit_counts",
        "Findings",
        "Faces to review, by kind of finding. One face can have several findings.",
        (7.5, 0.9 + 0.32 * len(counts)),
        partial(draw_counts, counts=counts),
        dict(counts),
    )
    for kind in counts:
        first = _first(table, found, kind)
        if first:
            yield Section(
                "audit_" + "_".join(kind.replace("(", "").replace(")", "").split()),
                f"First findings: {kind}",
                f"The first of {counts[kind]:,} findings, the most confident first."
                + _LEFT_OUT.get(kind, ""),
                (1.32 * _STRIP, 2.15),
                partial(draw_first, table=table, first=first),
                [{"row": each.row, "score": each.score, "evidence": each.evidence} for each in first],
            )
    if measured:
        yield Section(
            "audit_precision",
            "Precision of the audit",
            "The share of the most confident findings that the FER+ votes confirm. A model that was "
            "trained on a split has seen its votes; the other split shows its precision on new faces.",
            (8.2, 1.3 + 0.36 * len({(each.kind, each.split) for each in measured})),
            partial(draw_precision, measured=measured),
            [dataclasses.asdict(each) for each in measured],
        )


def _first(table: FaceTable, found: Findings, kind: str) -> list[Finding]:
    """The findings of a kind that are shown; of duplicates those on which something can be seen."""
    mine = found.of(kind)
    if kind in _LEFT_OUT:
        visible = table.pixels[[each.index for each in mine]].std(axis=(1, 2)) >= _BLANK
        mine = tuple(each for each, seen in zip(mine, visible, strict=True) if seen)
    return list(mine[:_STRIP])


def draw_counts(axes: Axes, counts: Mapping[str, int]) -> None:
    """A bar for each kind, with its number."""
    names = list(counts)[::-1]
    values = [counts[name] for name in names]
    axes.barh(names, values, color=COLOURS[0], height=0.65)
    for y, value in enumerate(values):
        axes.annotate(f" {value:,}", (value, y), va="center", color=QUIET)
    axes.set_xlim(0, max(1, *values) * 1.14)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    quiet(axes, grid="x")
    axes.set(title="Findings of the audit", xlabel="findings")


def draw_first(axes: Axes, table: FaceTable, first: Sequence[Finding]) -> None:
    """The faces in a row, each with its row in the source, its label and what it should be."""
    captions = [
        f"row {each.row:,}\n{each.label or 'no label'}" + (f"\n{each.suggested}?" if each.suggested else "")
        for each in first
    ]
    pixels = table.pixels[[each.index for each in first]]
    draw_faces(axes, pixels, captions, columns=_STRIP, lines=3)
    axes.set_title(f"{first[0].kind}: the most confident findings")


def draw_precision(axes: Axes, measured: Sequence[PrecisionAtK]) -> None:
    """One row per kind and split, with one mark per number of findings."""
    rows = list(dict.fromkeys((each.kind, each.split) for each in measured))[::-1]
    depths = sorted({each.k for each in measured})
    for style, at in enumerate(depths):
        mine = [each for each in measured if each.k == at]
        axes.scatter(
            [each.precision for each in mine],
            [rows.index((each.kind, each.split)) for each in mine],
            s=60,
            marker=("o", "D", "s")[style % 3],
            color=COLOURS[style],
            label=f"the first {at}",
            zorder=3 - style,
        )
    axes.set_yticks(range(len(rows)), [f"{kind}, {split or 'all'}" for kind, split in rows])
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(rows) - 0.4), xlabel="confirmed by the FER+ votes")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(depths))
    quiet(axes, grid="x")
