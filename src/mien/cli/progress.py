"""What commands show on stderr while they work: one bar, and a line of text beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class StageBar:
    """A bar that shows one stage of the work at a time."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._text = ""

    def show(self, text: str, done: int, total: int) -> None:
        """Set how much of a stage is done; another text begins a new stage."""
        if text != self._text:
            self.stage(text, total)
        self._text = text
        self.move_to(done)

    def stage(self, text: str, total: float | None = None) -> Callable[[float], None]:
        """Begin a stage; what comes back moves the bar on by an amount.

        Without a `total` the bar only shows that work is in progress.
        """
        if self._task is not None:
            self._bar.remove_task(self._task)
        task = self._task = self._bar.add_task(text, total=total)
        return lambda amount: self._bar.advance(task, amount)

    def describe(self, text: str) -> None:
        """Change the text beside the bar."""
        if self._task is None:
            self.stage(text)
        else:
            self._bar.update(self._task, description=text)

    def move_to(self, completed: float) -> None:
        """Set how much of the stage is done."""
        if self._task is not None:
            self._bar.update(self._task, completed=completed)


@contextmanager
def progress_bar(
    text: str = "", *, console: Console | None = None, quiet: bool = False
) -> Iterator[StageBar]:
    """A bar on stderr while the block runs; none where stderr is no terminal, or if `quiet`.

    Args:
        text: of a first stage without an end, if there is one.
        console: that other messages go to; by default one of stderr.
        quiet: show nothing.
    """
    from rich import progress as columns
    from rich.console import Console

    console = console or Console(stderr=True)
    with columns.Progress(
        columns.SpinnerColumn(),
        columns.TextColumn("{task.description}", markup=False),
        columns.BarColumn(),
        columns.TaskProgressColumn(show_speed=False),
        columns.TimeElapsedColumn(),
        columns.TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as bar:
        stages = StageBar(bar)
        if text:
            stages.stage(text)
        yield stages
