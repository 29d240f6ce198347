"""The one loop over a clip: its results go to a table, a figure, a video, a window and callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mien.video.analysis import VideoAnalysis
from mien.video.output.table import TableWriter
from mien.video.output.timeline import Timeline
from mien.video.output.window import Window
from mien.video.output.writer import AnnotatedClip
from mien.video.results import AnalyzedFrame, FrameResult
from mien.video.summary import ClipSummary, Person


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip.

    Attributes:
        people: who was seen, and how.
        frames: how many were analyzed.
        files: what was written.
        error: what was wrong with the clip, or None.
        complete: whether it was read to its end.
    """

    people: list[Person]
    frames: int
    files: list[Path]
    error: str | None
    complete: bool


class ClipJob:
    """Analyzes one clip.

    Args:
        analysis: of the clip.
        table: takes each result, and at the end what was wrong with the clip.
        timeline: gathers the results for a figure, drawn at this path at the end.
        annotated: draws the results on the clip's frames.
        window: shows them meanwhile. Closing it ends a live source; with a file it is like Ctrl-C.
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

    def run(
        self,
        *,
        on_result: Callable[[FrameResult], None] = lambda _: None,
        on_progress: Callable[[int, float], None] = lambda _frames, _time_s: None,
        cancel: Callable[[], bool] = lambda: False,
    ) -> ClipResult:
        """Reads the clip to its end; what was read before an interruption or an error is kept all the same.

        Args:
            on_result: is called with each result.
            on_progress: is called with the number of frames so far, and the time of the last one in the clip.
            cancel: is called after each frame; the job stops where it returns True.

        Raises:
            KeyboardInterrupt: once all that was read so far is written.
        """
        source = self._analysis.video.source
        summary, frames, complete = ClipSummary(source), 0, False
        try:
            for analyzed in self._analysis.details():
                self._write(analyzed)
                summary.write(analyzed.result)
                frames += 1
                on_result(analyzed.result)
                on_progress(frames, analyzed.result.time_s)
                if cancel() or not self._show(analyzed):
                    break
            else:
                complete = True
            complete |= self._analysis.video.live
        finally:
            self._analysis.close()
            files = self._finish(keep_segments=not complete)
        error = self._analysis.status.describe()
        if self._table and error:
            self._table.fail(source, error)
        return ClipResult(summary.people(), frames, files, error, complete)

    def _write(self, analyzed: AnalyzedFrame) -> None:
        if self._table:
            self._table.write(analyzed.result)
        if self._annotated:
            self._annotated.write(analyzed)
        if self._timeline:
            self._timeline[0].write(analyzed)

    def _show(self, analyzed: AnalyzedFrame) -> bool:
        """Show the frame; returns False where the window of a live source was closed."""
        if self._window is None or self._window.show(analyzed):
            return True
        if not self._analysis.video.live:
            raise KeyboardInterrupt
        return False

    def _finish(self, *, keep_segments: bool) -> list[Path]:
        files = []
        if self._annotated and (saved := self._annotated.close(keep_segments=keep_segments)):
            files.append(saved)
        title = Path(self._analysis.video.source).name
        if self._timeline and self._timeline[0].draw(self._timeline[1], title):
            files.append(self._timeline[1])
        return files
