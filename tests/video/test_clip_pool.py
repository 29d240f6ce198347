"""Several clips at once: the same study, whatever is interrupted, broken or killed meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.batch import predict_clips
from mien.video.options.clips import ClipOptions
from mien.video.options.study import StudyOptions
from mien.video.results import FrameResult
from mien.video.runner import BatchObserver

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return Analyzer(write_band_model(tmp_path_factory.mktemp("model")), threads=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of 0.5 to 2 seconds, and a file that is not a clip."""
    folder = tmp_path_factory.mktemp("clips")
    face = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    for name, seconds in (("a", 2.0), ("b", 0.5), ("c", 1.0)):
        write_clip(folder / f"{name}.mp4", play([Actor(face, lambda t: (150 + 60 * t, 180, 220))], seconds))
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


def files_of(study: Path) -> dict[str, bytes]:
    return {str(it.relative_to(study)): it.read_bytes() for it in sorted(study.rglob("*")) if it.is_file()}


def options(out: Path, *, jobs: int, resume: bool = False) -> ClipOptions:
    return ClipOptions(out=out, study=StudyOptions(), jobs=jobs, resume=resume)


@pytest.fixture(scope="module")
def whole(analyzer: Analyzer, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The study of one clip after the other."""
    out = tmp_path_factory.mktemp("whole") / "study"
    assert predict_clips([str(clips)], analyzer, options(out, jobs=1)) == 1
    return files_of(out)


class Recorder(BatchObserver):
    """Keeps which clips began, and in which order they ended."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.frames: dict[str, list[int]] = {}

    def started(self, source: str, name: str, start_s: float, length_s: float | None) -> None:
        self.events.append(("started", name))

    def analyzed(self, result: FrameResult) -> None:
        self.frames.setdefault(Path(result.source).stem, []).append(result.frame)

    def finished(self, source: str, result: object) -> None:
        self.events.append(("finished", Path(source).stem))

    def failed(self, source: str, error: str) -> None:
        self.events.append(("failed", Path(source).stem))

    def stopped(self, *, resumable: bool) -> None:
        self.events.append(("stopped", str(resumable)))


def test_clips_that_are_read_at_once_make_the_same_study(
    analyzer: Analyzer, clips: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    observer = Recorder()
    assert predict_clips([str(clips)], analyzer, options(tmp_path / "s", jobs=2), observer) == 1
    assert files_of(tmp_path / "s") == whole
    begun = [name for what, name in observer.events if what == "started"]
    # b began before a had ended.
    assert observer.events.index(("started", "b")) < observer.events.index(("finished", "a"))
    assert sorted(begun) == ["a", "b", "c"]
    assert ("failed", "broken") in observer.events
    assert {name: len(frames) for name, frames in observer.frames.items()} == {"a": 50, "b": 12, "c": 25}
    assert not multiprocessing.active_children()


def test_an_interrupted_run_keeps_what_each_process_read_and_goes_on_to_the_same_bytes(
    analyzer: Analyzer, clips: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    class Stops(Recorder):
        def analyzed(self, result: FrameResult) -> None:
            super().analyzed(result)
            if "a.mp4" in result.source and result.frame == 5:
                raise KeyboardInterrupt

    observer, out = Stops(), tmp_path / "s"
    with pytest.raises(KeyboardInterrupt):
        predict_clips([str(clips)], analyzer, options(out, jobs=2), observer)
    assert observer.events[-1] == ("stopped", "True")
    assert not multiprocessing.active_children()
    assert (out / "a" / "frames.csv").exists()  # what was read stands in the tables
    again = Recorder()
    predict_clips([str(clips)], analyzer, options(out, jobs=3, resume=True), again)
    assert files_of(out) == whole


def test_a_process_that_is_killed_costs_its_clip(
    analyzer: Analyzer, clips: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    class Kills(Recorder):
        def analyzed(self, result: FrameResult) -> None:
            super().analyzed(result)
            if "a.mp4" in result.source and result.frame == 3:
                # The first process that was started reads the first clip.
                first = min(multiprocessing.active_children(), key=lambda process: process.name)
                os.kill(first.pid or 0, signal.SIGKILL)

    observer, out = Kills(), tmp_path / "s"
    assert predict_clips([str(clips)], analyzer, options(out, jobs=2), observer) == 2
    assert ("failed", "a") in observer.events
    found = files_of(out)
    for name in ("b/frames.csv", "c/frames.csv", "b/people.csv"):
        assert found[name] == whole[name]
    assert b"ended (exit code -9)" in found["study.json"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"study": None, "form": "csv"}, "--jobs is for studies"),
        ({"people": "all"}, "leave out --jobs"),
        ({"show": True}, "leave out --show and --stream"),
        ({"jobs": 0}, "--jobs must be 1 or more, not 0"),
    ],
)
def test_what_cannot_be_read_at_once_is_said(
    analyzer: Analyzer, clips: Path, tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    from dataclasses import replace

    with pytest.raises(UsageError, match=message):
        predict_clips([str(clips)], analyzer, replace(options(tmp_path / "s", jobs=2), **changed))  # type: ignore[arg-type]
