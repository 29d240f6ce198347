"""The table that `mien predict` prints for people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mien.cli.tables import widen
from mien.emotions import EMOTION_COLOURS
from mien.inference.face import Face
from mien.inference.sinks import ImageResult, ReadFailure
from mien.names import shown

_BAR = 8  # characters
_NAME = 12  # characters of a file's name in one line, at least
_WIDE = 100  # characters per line where stdout is not a terminal


class TableSink:
    """Collects results and prints them as one table at the end: one line per face, and the totals."""

    def __init__(self) -> None:
        self._results: list[ImageResult] = []
        self._failures = 0

    def write(self, result: ImageResult) -> None:
        """Take one image that was read."""
        self._results.append(result)

    def fail(self, failure: ReadFailure) -> None:  # noqa: ARG002
        """Count one image that cannot be read; the message is on stderr already."""
        self._failures += 1

    def close(self) -> None:
        """Print the table and the totals."""
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = _WIDE
        if self._results:
            table = self._table()
            longest = max(len(Path(result.source).name) for result in self._results)
            widen(console, table, shrinkable=max(0, longest - _NAME))
            console.print(table)
        faces = [face for result in self._results for face in result.faces]
        totals = [_count(len(self._results), "image"), _count(len(faces), "face")]
        if self._failures:
            totals.append(f"{self._failures} cannot be read")
        console.print(", ".join(totals))
        if any(face.uncertain for face in faces):
            console.print("? uncertain: no single expression is clearly the most probable", style="dim")

    def _table(self) -> Table:
        """The table; only names of images are wrapped where the terminal is narrow."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("image", overflow="fold")
        for name in ("face", "at x,y", "size"):
            table.add_column(name, justify="right", no_wrap=True)
        for name in ("expression", "", "second", ""):
            table.add_column(name, no_wrap=True)
        for result in self._results:
            if not result.faces:
                table.add_row(
                    Text(shown(Path(result.source).name)),
                    "",
                    "",
                    "",
                    Text("no face found", style="dim"),
                    "",
                    "",
                    "",
                )
            for number, face in enumerate(result.faces, start=1):
                source = Text(shown(Path(result.source).name) if number == 1 else "")
                table.add_row(
                    source, str(number), *_position(face), *_expression(face), Text(", ".join(face.warnings))
                )
        return table


def share_bar(emotion: str, share: float, width: int) -> Text:
    """A bar of so many characters, filled to the share (0-1) in the colour of the emotion."""
    filled = round(share * width)
    bar = Text("█" * filled, style=EMOTION_COLOURS.get(emotion, "white"))
    return bar.append("░" * (width - filled), style="dim")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _position(face: Face) -> tuple[str, str]:
    x, y, width, height = (round(value) for value in face.box)
    return f"{x},{y}", f"{width}x{height}"


def _expression(face: Face) -> tuple[Text, Text, Text]:
    """The most probable emotion, a bar of its probability, and the second."""
    (name, probability), (second, less) = face.shown[:2]
    mark = "?" if face.uncertain else ""
    return (
        Text(f"{name}{mark} {probability:.0%}", style="bold"),
        share_bar(name, probability, _BAR),
        Text(f"{second} {less:.0%}", style="dim"),
    )
