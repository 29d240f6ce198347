"""The log of a clip: a run resumes from it, and it is tracked and smoothed again without the clip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from mien.emotions import ABSTAIN, FER2013, VOTES
from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.models.card import Head
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.analysis import VideoAnalysis, analyze_video, open_source
from mien.video.log import replay
from mien.video.results import FrameResult
from mien.video.smoothing import Smoothing
from mien.video.tracking.people import People
from mien.video.tracking.tracker import Tracker

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def analyzer(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    heads = (Head("votes", VOTES, ABSTAIN, conformal={"0.90": 0.2}), Head("fer2013", FER2013))
    return Analyzer(write_band_model(tmp_path_factory.mktemp("model"), heads=heads), threads=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two who cross, a cut, and one who is gone for a second."""
    anna = Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260))
    bert = np.asarray(ImageEnhance.Color(ImageOps.mirror(anna)).enhance(0.1)) * [0.75, 0.85, 1.1]
    wall = np.full((36, 64, 3), 235, np.uint8)
    actors = [
        Actor(np.asarray(anna), lambda t: (100 + 180 * t, 180, 220)),
        Actor(bert.clip(0, 255).astype(np.uint8), lambda t: (500 - 180 * t, 190, 200)),
        Actor(wall, lambda t: (320, 180, 360) if t >= 2.2 else None),
        Actor(np.asarray(anna), lambda t: (450, 180, 260) if 2.2 <= t < 2.6 or t >= 3.4 else None),
    ]
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", play(actors, 4.0))


def analysis(clip: Path, analyzer: Analyzer, **options: Any) -> VideoAnalysis:
    return VideoAnalysis(open_source(clip), analyzer, thumbnails=True, **options)


@pytest.fixture(scope="module")
def whole(
    clip: Path, analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[FrameResult], bytes]:
    """The results of a run without interruption, and its log."""
    path = tmp_path_factory.mktemp("log") / "whole.jsonl"
    return list(analysis(clip, analyzer, log=path)), path.read_bytes()


def torn(content: bytes) -> bytes:
    """The log without the end of its last line, as a power cut may leave it."""
    return content[:-40]


def zeroed(content: bytes) -> bytes:
    """The log with zeros at its end, as some file systems leave it."""
    return content[:-40] + b"\0" * 300


def mid_batch(content: bytes) -> bytes:
    """The log without its last line, so that it ends within a batch."""
    return b"".join(content.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    ("interrupted_at", "damage"),
    [(1, bytes), (30, torn), (62, zeroed), (62, mid_batch), (90, bytes), (90, mid_batch)],
)
def test_a_resumed_run_has_the_results_and_the_log_of_one_run(
    clip: Path,
    analyzer: Analyzer,
    whole: tuple[list[FrameResult], bytes],
    tmp_path: Path,
    interrupted_at: int,
    damage: Callable[[bytes], bytes],
) -> None:
    path = tmp_path / "log.jsonl"
    with analysis(clip, analyzer, log=path) as begun:
        for _ in range(interrupted_at):
            next(begun)
    path.write_bytes(damage(path.read_bytes()))
    assert list(analysis(clip, analyzer, log=path, resume=True)) == whole[0]
    assert path.read_bytes() == whole[1]


def test_thumbnails_of_a_resumed_run_are_those_of_one_run(
    clip: Path, analyzer: Analyzer, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    with analysis(clip, analyzer, log=path) as begun:
        for _ in range(40):
            next(begun)
    runs = [analysis(clip, analyzer, log=path, resume=True), analysis(clip, analyzer)]
    resumed, single = ([it.thumbnails for it in run.details()] for run in runs)
    assert resumed == single
    assert sum(map(len, single)) > 6


def test_a_log_that_ends_behind_its_header_begins_anew(
    clip: Path, analyzer: Analyzer, whole: tuple[list[FrameResult], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(whole[1].splitlines(keepends=True)[0])
    assert list(analysis(clip, analyzer, log=path, resume=True)) == whole[0]


def test_a_sampled_part_of_a_clip_resumes(clip: Path, analyzer: Analyzer, tmp_path: Path) -> None:
    path, span = tmp_path / "log.jsonl", {"start_s": 0.5, "end_s": 3.5, "interval_s": 0.2}
    with analysis(clip, analyzer, log=path, **span) as begun:
        for _ in range(6):
            next(begun)
    resumed = list(analysis(clip, analyzer, log=path, resume=True, **span))
    assert resumed == list(analysis(clip, analyzer, **span))


@pytest.mark.parametrize("faces", ["all", "biggest"])
def test_a_replay_gives_the_results_of_the_run(
    clip: Path, analyzer: Analyzer, tmp_path: Path, faces: Any
) -> None:
    path = tmp_path / "log.jsonl"
    results = list(analyze_video(clip, analyzer=analyzer, faces=faces, log=path))
    assert list(replay(path)) == results


def test_a_replay_smooths_tracks_and_selects_anew_without_the_clip(
    clip: Path, analyzer: Analyzer, whole: tuple[list[FrameResult], bytes], tmp_path: Path
) -> None:
    """Each option gives what a run over the clip with this option gives."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(whole[1])
    rough = list(analysis(clip, analyzer, smoothing=Smoothing(0.0)))
    assert list(replay(path, smoothing=Smoothing(0.0))) == rough
    assert list(replay(str(path), faces="biggest")) == list(analysis(clip, analyzer, faces="biggest"))
    forgetful = list(replay(path, tracker=Tracker(lost_s=0.3, people=People(recognize=False))))
    people = [{face.id for result in results for face in result.faces} for results in (forgetful, whole[0])]
    # Without a look at their faces, who is gone for 0.3 s or is seen behind the cut is somebody else.
    assert len(people[0]) == 5 > len(people[1])


def test_a_replay_of_an_interrupted_run_gives_what_was_read(
    clip: Path, analyzer: Analyzer, whole: tuple[list[FrameResult], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(torn(whole[1][: len(whole[1]) // 2]))
    results = list(replay(path))
    assert 20 < len(results) < 80
    assert [result.frame for result in results] == list(range(len(results)))
    assert results[:20] == whole[0][:20]


def test_a_log_of_something_else_is_refused(clip: Path, analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    list(analysis(clip, analyzer, log=path, end_s=0.2))
    with pytest.raises(UsageError, match="options"):
        analysis(clip, analyzer, log=path, resume=True)
    changed = tmp_path / "clip.mp4"
    changed.write_bytes(clip.read_bytes())
    list(analysis(changed, analyzer, log=path))
    changed.write_bytes(clip.read_bytes() + b"more")
    with pytest.raises(UsageError, match="the clip has changed"):
        analysis(changed, analyzer, log=path, resume=True)
    older = json.dumps({"format": "mien video log 2", "mien": "0.1"}) + "\n"
    for text, message in (
        ("", "not a log"),
        ("a,b\n", "not a log"),
        (older, "'mien video log 2' of another"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            list(replay(path))
    with pytest.raises(UsageError, match="cannot be read"):
        list(replay(tmp_path / "absent.jsonl"))


def test_a_log_that_cannot_be_written_is_refused(clip: Path, analyzer: Analyzer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        list(analyze_video(clip, analyzer=analyzer, log=tmp_path / "none" / "log.jsonl"))
