"""One clip that is analyzed in the background: its options, its status, and the analysis."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from mien.errors import ImageTooLarge
from mien.inference.analyzer import Analyzer
from mien.serve.errors import ErrorResponse
from mien.serve.schemas import JobStatus, PersonSummary
from mien.serve.settings import MB, Limits
from mien.serve.video.full_disk import OverflowFile
from mien.video.analysis import VideoAnalysis
from mien.video.job import ClipJob
from mien.video.opening import open_video
from mien.video.options.clips import FaceSelection
from mien.video.output.table import open_table
from mien.video.tracking.people import People

_MAX_OVERFLOW = 64 * MB
TableFormat = Literal["csv", "jsonl", "json", "parquet"]


class AnalyzerOf(Protocol):
    """The analyzer of a label set, with or without movements."""

    def __call__(self, labels: str, *, movements: bool) -> Analyzer: ...


@dataclass(frozen=True)
class JobOptions:
    """The options of a clip.

    Attributes:
        labels: label set.
        format: of the table.
        interval_s: analyze one frame per interval; None for every frame.
        faces: all, or the biggest only.
        people: ``"clip"`` if a person who returns gets their number back, ``"off"`` if not.
        movements: with the columns of movements.
    """

    labels: str
    format: TableFormat = "csv"
    interval_s: float | None = None
    faces: FaceSelection = "all"
    people: Literal["clip", "off"] = "clip"
    movements: bool = False


@dataclass
class VideoJob:
    """A clip to analyze. `status` is replaced as a whole, so that any thread can read it.

    `overflow` is the end of the result where the disk was full. `on_update` is called after each change.
    """

    id: str
    name: str
    folder: Path
    options: JobOptions
    status: JobStatus = field(init=False)
    ended_s: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    overflow: bytearray = field(default_factory=bytearray)
    on_update: Callable[[VideoJob], None] | None = None

    def __post_init__(self) -> None:
        self.status = JobStatus(id=self.id, source=self.name)

    @property
    def clip(self) -> Path:
        """The clip's file."""
        return self.folder / "clip"

    @property
    def result(self) -> Path:
        """The table's file."""
        return self.folder / f"faces.{self.options.format}"

    def update(self, **changes: Any) -> None:
        """Replace the status by one with these changes; progress and result follow from them."""
        values = {**self.status.model_dump(), "source": self.name, **changes}
        if values["state"] == "done":
            values |= {"progress": 1.0, "result": f"/v1/video/{self.id}/result"}
        elif values["duration_s"]:
            values["progress"] = round(min(1.0, values["time_s"] / values["duration_s"]), 4)
        self.status = JobStatus(**values)
        if self.on_update is not None:
            self.on_update(self)

    def fail(self, code: str, message: str) -> None:
        """Set the status to failed, and why."""
        self.update(state="failed", error=ErrorResponse(code=code, message=message))


def analyze_clip(job: VideoJob, analyzer_of: AnalyzerOf, limits: Limits) -> None:
    """Analyzes a job's clip, writes its table and updates `VideoJob.status`; ends early on `VideoJob.stop`.

    Raises:
        ImageError: the clip cannot be read, its frames are too large, or it is too long.
        MissingExtra: the packages for videos, or for Parquet, are not installed.
    """
    options = job.options
    analyzer = analyzer_of(options.labels, movements=options.movements)
    classifier, video = analyzer.classifier, open_video(job.clip)
    video.source = job.name

    def on_progress(frames: int, time_s: float) -> None:
        if time_s > limits.video_s:
            _check_size(job, video.size, time_s, limits)
        job.update(frames=frames, time_s=time_s)

    def opened(path: Path) -> IO[str]:
        file = OverflowFile(path, _MAX_OVERFLOW)
        job.overflow = file.overflow
        return file.as_text()

    people = People(recognize=options.people == "clip")
    with VideoAnalysis(
        video, analyzer, interval_s=options.interval_s, faces=options.faces, people=people
    ) as analysis:
        _check_size(job, video.size, video.duration_s, limits)
        job.update(state="running", duration_s=video.duration_s)
        with open_table(
            job.result,
            options.format,
            model=classifier.name,
            head=classifier.head,
            movements=options.movements,
            opened=opened,
        ) as table:
            result = ClipJob(analysis, table=table).run(on_progress=on_progress, cancel=job.stop.is_set)
    if job.overflow and options.format == "parquet":
        raise OSError(errno.ENOSPC, "a Parquet table cannot be completed")
    if result.complete:
        seen = [PersonSummary.model_validate(person) for person in result.people]
        job.update(state="done", warning=result.error, people=seen)


def _check_size(job: VideoJob, size: tuple[int, int], seconds: float | None, limits: Limits) -> None:
    if size[0] * size[1] > limits.pixels:
        raise ImageTooLarge(
            f"{job.name} has frames of {size[0]} x {size[1]} pixels; the limit is {limits.pixels:,} pixels. "
            "Send a smaller version."
        )
    if seconds is not None and seconds > limits.video_s:
        raise ImageTooLarge(
            f"{job.name} is longer than the limit of {limits.video_s / 60:g} minutes. Send it in parts."
        )
