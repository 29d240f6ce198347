"""The transforms of the training faces, beside those of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mien.plotting import draw_table
from mien.runs.recipe_sections import AugmentRecipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The recipe's defaults are the report's (its section 3.1).
_REPORT = AugmentRecipe()


def rows(augment: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name of each transform, what the report did, and what this training did, in words and in order."""
    ours = AugmentRecipe(
        **{key: value for key, value in augment.items() if key in AugmentRecipe.__dataclass_fields__}
    )
    return [(name, describe(_REPORT), describe(ours)) for name, describe in _WORDS.items()]


def draw(axes: Axes, lines: Sequence[tuple[str, str, str]], name: str) -> None:
    """The rows as a table."""
    draw_table(axes, lines, ["transform", "the report", name], [0.26, 0.37, 0.37])


def _share(value: float, what: str) -> str:
    return f"{what} {value:.0%} of the faces" if value else "none"


def _range(low: float, high: float) -> str:
    return "none" if low == high == 1 else f"{low:g} to {high:g} times"


def _mixed(augment: AugmentRecipe) -> str:
    named = [name for name, alpha in (("mixup", augment.mixup), ("cutmix", augment.cutmix)) if alpha]
    return ", ".join(named) or "none"


_WORDS: dict[str, Callable[[AugmentRecipe], str]] = {
    "random crop": lambda a: f"reaching {a.crop_padding} px beyond the edge" if a.crop_padding else "none",
    "rotation": lambda a: f"up to {a.degrees:g}° to either side" if a.degrees else "none",
    "shift": lambda a: f"up to {a.translate:.0%} of the side" if a.translate else "none",
    "enlargement": lambda a: _range(*a.scale),
    "mirroring": lambda a: _share(a.flip, "left and right of"),
    "autocontrast": lambda a: _share(a.autocontrast, "").strip(),
    "brightness": lambda a: f"up to {a.brightness:.0%} more or less" if a.brightness else "unchanged",
    "contrast": lambda a: f"up to {a.contrast:.0%} more or less" if a.contrast else "unchanged",
    "random erasing": lambda a: _share(a.erase, "in").strip(),
    "mixing of two faces": _mixed,
    "resampling": lambda a: a.interpolation,
    "outside the image": lambda a: "black" if a.fill == "zero" else "the image mirrored",
}
