"""The one style of tables of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def results_table(title: str, *columns: str, caption: str | None = None, wrap: bool = False) -> Table:
    """A table of names and right-aligned numbers; with `wrap`, wide headings take several lines."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
        title=title or None,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=not wrap)
    return table


def widen(console: Console, table: Table, *, shrinkable: int = 0) -> None:
    """Give a console the width that a table needs: a narrow terminal then breaks lines, but cuts no number.

    `shrinkable` characters may be taken from columns that wrap.
    """
    from rich.measure import Measurement

    unbounded = console.options.update(max_width=10_000)
    console.width = max(console.width, Measurement.get(console, unbounded, table).maximum - shrinkable)


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """A share and its interval in percent: ``"69.8% (68.3 to 71.2)"``."""
    return f"{value:.1%} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
