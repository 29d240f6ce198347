"""One clip that is read in the background: what is wanted of it, how far it is, and the reading itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mien.errors import ImageTooLarge
from mien.inference.analyzer import Analyzer
from mien.serve.settings import Limits
from mien.video.analysis import VideoAnalysis
from mien.video.job import ClipJob
from mien.video.opening import open_video
from mien.video.output.table import open_table
from mien.video.stages.select import FaceSelection
from mien.video.summary import Person

State = Literal["waiting", "running", "done", "failed"]
Form = Literal["csv", "jsonl", "json", "parquet"]


@dataclass(frozen=True)
class VideoOptions:
    """What is wanted of a clip.

    Attributes:
        labels: label set.
        form: how the result is written.
        interval_s: analyze one frame per interval; None analyzes every frame.
        faces: all, or the biggest alone.
    """

    labels: str
    form: Form = "csv"
    interval_s: float | None = None
    faces: FaceSelection = "all"


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        state: waiting, running, done or failed.
        frames: pictures that were read.
        time_s: the time of the last one in the clip.
        duration_s: the clip's length as announced; None where it is not.
        problem: why it failed, or what was wrong with a clip that could be read in part.
        code: for programs, where it failed.
        people: what was seen of each person.
    """

    state: State = "waiting"
    frames: int = 0
    time_s: float = 0.0
    duration_s: float | None = None
    problem: str | None = None
    code: str | None = None
    people: tuple[Person, ...] = ()


@dataclass
class Job:
    """A clip to be read. `progress` is replaced as a whole, so that any thread may look at it."""

    id: str
    name: str
    folder: Path
    options: VideoOptions
    progress: Progress = field(default_factory=Progress)
    ended_s: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def clip(self) -> Path:
        """The clip's file."""
        return self.folder / "clip"

    @property
    def result(self) -> Path:
        """The table's file."""
        return self.folder / f"faces.{self.options.form}"

    def to_dict(self) -> dict[str, Any]:
        """The job as plain values for JSON."""
        now = self.progress
        done = (
            1.0 if now.state == "done" else min(1.0, now.time_s / now.duration_s) if now.duration_s else None
        )
        return {
            "id": self.id,
            "source": self.name,
            "state": now.state,
            "progress": None if done is None else round(done, 4),
            "frames": now.frames,
            "time_s": round(now.time_s, 3),
            "duration_s": now.duration_s,
            "problem": now.problem,
            "code": now.code,
            "people": [_plain(person) for person in now.people],
            "result": f"/v1/video/{self.id}/result" if now.state == "done" else None,
        }


def read_clip(job: Job, analyzers: Mapping[str, Analyzer], limits: Limits) -> None:
    """Reads a job's clip and writes its table; `Job.progress` tells how far it is. Ends early on `Job.stop`.

    Raises:
        ImageError: it cannot be read at all, its pictures are too large or it is too long.
        MissingExtra: the packages for videos, or for Parquet, are not installed.
    """
    analyzer, options = analyzers[job.options.labels], job.options
    classifier, video = analyzer.classifier, open_video(job.clip)
    video.source = job.name

    def on_progress(frames: int, time_s: float) -> None:
        if time_s > limits.video_s:
            _check_size(job, video.size, time_s, limits)
        job.progress = replace(job.progress, frames=frames, time_s=time_s)

    with VideoAnalysis(video, analyzer, interval_s=options.interval_s, faces=options.faces) as analysis:
        _check_size(job, video.size, video.duration_s, limits)
        job.progress = Progress("running", duration_s=video.duration_s)
        with open_table(job.result, options.form, model=classifier.name, head=classifier.head) as table:
            done = ClipJob(analysis, table=table).run(on_progress=on_progress, cancel=job.stop.is_set)
    if done.complete:
        job.progress = replace(job.progress, state="done", problem=done.error, people=tuple(done.people))


def _check_size(job: Job, size: tuple[int, int], seconds: float | None, limits: Limits) -> None:
    if size[0] * size[1] > limits.pixels:
        raise ImageTooLarge(
            f"{job.name} has pictures of {size[0]} x {size[1]} pixels, more than the {limits.pixels:,} "
            "allowed. Send it smaller."
        )
    if seconds is not None and seconds > limits.video_s:
        raise ImageTooLarge(
            f"{job.name} is longer than the {limits.video_s / 60:g} minutes allowed. Send it in parts."
        )


def _plain(person: Person) -> dict[str, Any]:
    values = asdict(person)
    run = values["longest"]
    return {
        "face_id": person.face_id,
        "first_s": round(person.first_s, 3),
        "last_s": round(person.last_s, 3),
        "seconds": round(person.seconds, 3),
        "emotions": {name: round(seconds, 3) for name, seconds in person.emotions.items()},
        "uncertain_s": round(person.uncertain_s, 3),
        "switches": person.switches,
        "longest": {"emotion": run["emotion"], "start_s": run["start_s"], "seconds": run["seconds"]},
    }
