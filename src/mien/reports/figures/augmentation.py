"""What training did to each face before the network saw it, beside what the report did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mien.reports.document import Section
from mien.runs.recipe_sections import AugmentRecipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The recipe's defaults are the report's (its section 3.1).
_REPORT = AugmentRecipe()


def rows(augment: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is done, what the report did, and what this training did, in words; transforms in their order."""
    ours = AugmentRecipe(
        **{key: value for key, value in augment.items() if key in AugmentRecipe.__dataclass_fields__}
    )
    return [(name, say(_REPORT), say(ours)) for name, say in _SAID.items()]


def transforms_section(name: str, augment: Mapping[str, Any]) -> Section:
    """The transforms of a training and of the report, as a table."""
    lines = rows(augment)
    return Section(
        "transforms",
        "What happened to the training faces",
        "A face that is turned, shifted, mirrored or lit otherwise is still the same expression. Each face "
        "is met changed at random, never twice alike, so that the network cannot learn it by heart. Faces "
        "that are judged are not changed.",
        (9, 0.6 + 0.33 * (len(lines) + 1)),
        lambda axes: draw(axes, lines, name),
        [{"transform": what, "report": theirs, name: ours} for what, theirs, ours in lines],
        report="section 3.1",
    )


def draw(axes: Axes, lines: Sequence[tuple[str, str, str]], name: str) -> None:
    """The rows as a table."""
    drawn = axes.table(
        [list(line) for line in lines],
        colLabels=["transform", "the report", name],
        colWidths=[0.26, 0.37, 0.37],
        cellLoc="left",
        loc="center",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(10)
    drawn.scale(1, 1.45)
    for (row, _), cell in drawn.get_celld().items():
        cell.set(edgecolor="#dddddd", facecolor="#eef3f7" if row == 0 else "white")
    axes.set_axis_off()


def _share(value: float, what: str) -> str:
    return f"{what} {value:.0%} of the faces" if value else "none"


def _range(low: float, high: float) -> str:
    return "none" if low == high == 1 else f"{low:g} to {high:g} times"


def _mixed(augment: AugmentRecipe) -> str:
    named = [name for name, alpha in (("mixup", augment.mixup), ("cutmix", augment.cutmix)) if alpha]
    return ", ".join(named) or "none"


_SAID: dict[str, Callable[[AugmentRecipe], str]] = {
    "random crop": lambda a: f"reaching {a.crop_padding} px over the edge" if a.crop_padding else "none",
    "rotation": lambda a: f"up to {a.degrees:g}° to either side" if a.degrees else "none",
    "shift": lambda a: f"up to {a.translate:.0%} of the side" if a.translate else "none",
    "enlargement": lambda a: _range(*a.scale),
    "mirroring": lambda a: _share(a.flip, "left and right of"),
    "stretched grays": lambda a: _share(a.autocontrast, "").strip(),
    "brightness": lambda a: f"up to {a.brightness:.0%} more or less" if a.brightness else "unchanged",
    "contrast": lambda a: f"up to {a.contrast:.0%} more or less" if a.contrast else "unchanged",
    "a box painted over": lambda a: _share(a.erase, "in").strip(),
    "two faces mixed": _mixed,
    "resampling": lambda a: a.interpolation,
    "outside the picture": lambda a: "black" if a.fill == "zero" else "the picture mirrored",
}
