"""Many clips into one table, called from Python; a run that is killed resumes to the same files."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.batch import predict_clips
from mien.video.job import ClipJob, ClipResult
from mien.video.options.clips import ClipOptions
from mien.video.results import FrameResult
from mien.video.runner import BatchObserver

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
# What a run does that dies at frame 30 of the clip b: no handler, no `finally`, as at a power cut.
KILLED = """
import os, sys
from pathlib import Path
import mien.video.output.writer as writer
from mien.inference.analyzer import Analyzer
from mien.video.batch import predict_clips
from mien.video.options.clips import ClipOptions
from mien.video.runner import BatchObserver

writer.SEGMENT_FRAMES = 12
model, clips, out, save = sys.argv[1:]

class Dies(BatchObserver):
    def analyzed(self, result):
        if "b.mp4" in result.source and result.frame == 30:
            os._exit(9)

options = ClipOptions(form=Path(out).suffix[1:], out=Path(out), save=Path(save))
predict_clips([clips], Analyzer(model, threads=1), options, Dies())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_band_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two clips, of 0.4 and 2 seconds, and a file between them that is not a clip."""
    folder = tmp_path_factory.mktemp("clips")
    face = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    for name, seconds in (("a", 0.4), ("b", 2.0)):
        scene = play([Actor(face, lambda t: (150 + 120 * t, 180, 220))], seconds)
        write_clip(folder / f"{name}.mp4", scene, tone_hz=440)
    (folder / "ab.mp4").write_bytes(b"not a video")
    return folder


class Recorder(BatchObserver):
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def started(self, source: str, name: str, start_s: float, length_s: float | None) -> None:
        self.events.append(("started", name, start_s, length_s))

    def analyzed(self, result: FrameResult) -> None:
        self.events.append(result.frame)

    def finished(self, source: str, result: ClipResult) -> None:
        self.events.append(("finished", Path(source).name, result.frames, result.complete))

    def failed(self, source: str, error: str) -> None:
        self.events.append(("failed", Path(source).name, "cannot be opened" in error))


def test_an_observer_hears_of_every_clip_and_frame(model: Path, clips: Path, tmp_path: Path) -> None:
    observer, options = Recorder(), ClipOptions(form="csv", out=tmp_path / "t.csv", interval_s=0.2)
    assert predict_clips([str(clips)], Analyzer(model, threads=1), options, observer) == 1
    assert observer.events == [
        ("started", "a", 0.0, pytest.approx(0.4)), 0, 5, ("finished", "a.mp4", 2, True),
        ("failed", "ab.mp4", True),
        ("started", "b", 0.0, pytest.approx(2.0)), *range(0, 50, 5), ("finished", "b.mp4", 10, True),
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_run_that_is_killed_resumes_to_the_files_of_one_run(
    model: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr("mien.video.output.writer.SEGMENT_FRAMES", 12)
    out = {name: tmp_path / f"{name}.{form}" for name in ("killed", "whole")}
    save = {name: tmp_path / name for name in out}
    arguments = [str(it) for it in (model, clips, out["killed"], save["killed"])]
    died = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert died.returncode == 9
    assert (tmp_path / f"killed.{form}.resume.jsonl").exists()
    observer = Recorder()
    for name, resume in (("whole", False), ("killed", True)):
        options = ClipOptions(form=form, out=out[name], save=save[name], resume=resume)
        assert predict_clips([str(clips)], Analyzer(model, threads=1), options, observer) == 1 - resume
    assert "a" not in [event[1] for event in observer.events[-60:] if isinstance(event, tuple)]
    assert out["killed"].read_bytes() == out["whole"].read_bytes()
    for clip in ("a.mp4", "b.mp4"):
        frames = [_frames(folder / clip) for folder in save.values()]
        assert len(frames[0]) == len(frames[1])
        assert all((a == b).all() for a, b in zip(*frames, strict=True))
    figures = [(folder / "b-timeline.png").read_bytes() for folder in save.values()]
    assert figures[0] == figures[1]
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted([*(path.name for path in out.values()), *2 * [
        "a-timeline.png", "a.mp4", "b-timeline.png", "b.mp4"
    ]])  # fmt: skip


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def test_a_job_reports_its_progress_and_can_be_cancelled(model: Path, clips: Path) -> None:
    from mien.video.analysis import analyze_video

    seen: list[tuple[int, float]] = []

    def on_progress(frames: int, time_s: float) -> None:
        seen.append((frames, time_s))

    analysis = analyze_video(clips / "b.mp4", analyzer=Analyzer(model, threads=1))
    result = ClipJob(analysis).run(on_progress=on_progress, cancel=lambda: len(seen) == 7)
    assert seen == [(i + 1, pytest.approx(i / 25)) for i in range(7)]
    assert (result.frames, result.complete, result.error) == (7, False, None)


def test_options_of_another_run_are_refused(model: Path, clips: Path, tmp_path: Path) -> None:
    analyzer, out = Analyzer(model, threads=1), tmp_path / "t.csv"

    class Interrupts(BatchObserver):
        def analyzed(self, result: FrameResult) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_clips([str(clips)], analyzer, ClipOptions(form="csv", out=out), Interrupts())
    other = ClipOptions(form="csv", out=out, resume=True, smooth_s=0.5)
    with pytest.raises(UsageError, match=r"smooth_s 0\.2, not 0\.5"):
        predict_clips([str(clips)], analyzer, other)


def test_people_keep_their_numbers_across_clips_also_behind_an_interruption(
    model: Path, clips: Path, tmp_path: Path
) -> None:
    class Interrupts(BatchObserver):
        def analyzed(self, result: FrameResult) -> None:
            if "b.mp4" in result.source and result.frame == 30:
                raise KeyboardInterrupt

    def numbers(path: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in csv.DictReader(path.read_text().splitlines()):
            if row["face_id"]:
                found.setdefault(Path(row["source"]).name, set()).add(row["face_id"])
        return found

    options = {
        name: ClipOptions(form="csv", out=tmp_path / f"{name}.csv", people="all") for name in ("whole", "cut")
    }
    files = [str(clips / name) for name in ("a.mp4", "b.mp4")]
    predict_clips(files, Analyzer(model, threads=1), options["whole"])
    with pytest.raises(KeyboardInterrupt):
        predict_clips(files, Analyzer(model, threads=1), options["cut"], Interrupts())
    predict_clips(files, Analyzer(model, threads=1), replace(options["cut"], resume=True))
    assert numbers(tmp_path / "whole.csv") == {"a.mp4": {"1"}, "b.mp4": {"1"}}
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
