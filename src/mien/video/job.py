"""One clip read from beginning to end, its results handed to whatever they are wanted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.video.analysis import VideoAnalysis
from mien.video.output.table_file import TableWriter
from mien.video.output.timeline import Timeline
from mien.video.output.window import Window
from mien.video.output.writer import AnnotatedClip
from mien.video.results import FrameResult
from mien.video.summary import ClipSummary, Person


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip.

    Attributes:
        people: who was seen, and how.
        pictures: how many were read in this run.
        files: what was written.
        problem: what was wrong with the clip, or None.
        complete: whether it was read to its end.
    """

    people: list[Person]
    pictures: int
    files: list[Path]
    problem: str | None
    complete: bool


class ClipJob:
    """Reads one clip.

    Args:
        analysis: of the clip.
        table: takes each result.
        timeline: gathers the results for a figure, drawn at this path at the end.
        annotated: draws the results on the clip's pictures.
        window: shows them meanwhile. Closing it ends a live source; with a file it is as Ctrl-C.
    """

    def __init__(
        self,
        analysis: VideoAnalysis,
        *,
        table: TableWriter | None = None,
        timeline: tuple[Timeline, Path] | None = None,
        annotated: AnnotatedClip | None = None,
        window: Window | None = None,
    ) -> None:
        self._analysis, self._table = analysis, table
        self._timeline, self._annotated, self._window = timeline, annotated, window
        self._tally = ClipSummary(analysis.video.source)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `run` handed out; `annotated` takes its own part when it is made."""
        self._analysis.restore(state["analysis"])
        self._tally.restore(state["tally"])
        if self._timeline:
            self._timeline[0].restore(state["timeline"])

    def run(
        self,
        *,
        on_result: Callable[[FrameResult], None] = lambda _: None,
        on_state: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> ClipResult:
        """Reads the clip to its end, or until it is interrupted; what was read is then kept all the same.

        `on_result` is told of each result, `on_state` of each state that the run could go on from.

        Raises:
            KeyboardInterrupt: once all that was read so far is written.
        """
        count, complete = 0, False
        try:
            for analyzed in self._analysis.details():
                result = analyzed.result
                if self._table:
                    self._table.write(result)
                if self._annotated:
                    self._annotated.write(analyzed)
                if self._timeline:
                    self._timeline[0].write(analyzed)
                self._tally.write(result)
                count += 1
                on_result(result)
                if (state := self._analysis.state()) is not None:
                    on_state(self._state(state))
                if self._window and not self._window.show(analyzed):
                    if not self._analysis.video.live:
                        raise KeyboardInterrupt
                    break
            complete = True
        finally:
            self._analysis.close()
            files = self._finish(keep_parts=not complete)
        return ClipResult(self._tally.people(), count, files, self._analysis.status.describe(), complete)

    def _state(self, analysis: dict[str, Any]) -> dict[str, Any]:
        return {
            "analysis": analysis,
            "tally": self._tally.state(),
            "timeline": self._timeline[0].state() if self._timeline else None,
            "annotated": self._annotated.state() if self._annotated else None,
        }

    def _finish(self, *, keep_parts: bool) -> list[Path]:
        files = []
        if self._annotated and (saved := self._annotated.close(keep_parts=keep_parts)):
            files.append(saved)
        if self._timeline and self._timeline[0].draw(
            self._timeline[1], Path(self._analysis.video.source).name
        ):
            files.append(self._timeline[1])
        return files
