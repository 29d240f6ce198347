from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

import mien.video.output.writer as writer
from mien.cli.app import main
from mien.cli.predict.sources import seconds, split_sources
from mien.cli.predict.video_table import print_people
from mien.emotions import ABSTAIN, FER2013, VOTES
from mien.errors import ImageError, UsageError
from mien.models.card import Head
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.results import AnalyzedFrame, FrameResult
from mien.video.sources import file_names
from mien.video.summary import Person, Run

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Predict = Callable[..., Done]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = (Head("fer2013", FER2013), Head("votes", VOTES, ABSTAIN))
    return write_band_model(tmp_path_factory.mktemp("model"), heads=heads)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a face that moves, with sound."""
    face = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    scene = play([Actor(face, lambda t: (150 + 120 * t, 180, 220))], 2.0)
    return write_clip(tmp_path_factory.mktemp("clip") / "walk.mp4", scene, tone_hz=440)


@pytest.fixture
def predict(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Runs `mien predict` with the model of bands."""

    def run(*arguments: object) -> Done:
        words = ["mien", "predict", "--threads", "1", "--model", str(model), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        code = 0
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


def test_a_clip_becomes_a_table_a_timeline_and_an_annotated_video(
    predict: Predict, clip: Path, tmp_path: Path
) -> None:
    done = predict(clip, "--out", tmp_path / "walk.csv", "--save", tmp_path)
    assert done.code == 0, done.err
    assert "walk.mp4" in done.out
    assert "0:00-0:01" in done.out
    table = pd.read_csv(tmp_path / "walk.csv")
    assert table["frame"].tolist() == list(range(50))
    assert set(table["face_id"]) == {1}
    with av.open(str(tmp_path / "walk.mp4")) as made:
        assert [stream.type for stream in made.streams] == ["video", "audio"]
        assert made.streams.video[0].frames == 50
    assert _figure(tmp_path / "walk-timeline.png").shape[1] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk-timeline.png", "walk.csv", "walk.mp4"]


def test_rows_for_programs_go_to_stdout_alone(predict: Predict, clip: Path) -> None:
    done = predict(clip, "--csv", "--interval", "0.5s", "--labels", "fer2013")
    rows = list(csv.DictReader(done.out.splitlines()))
    assert [float(row["time_s"]) for row in rows] == pytest.approx([0, 0.52, 1.0, 1.52])
    assert "happy" in rows[0]
    assert "contempt" not in rows[0]
    document = json.loads(predict(clip, "--json", "--start", "1", "--end", "1.2s").out)
    assert [result["frame"] for result in document["results"]] == [25, 26, 27, 28, 29]
    assert document["errors"] == []


def test_parquet_is_written_by_its_suffix(predict: Predict, clip: Path, tmp_path: Path) -> None:
    assert predict(clip, "--out", tmp_path / "t.parquet", "--end", "0.4").code == 0
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 10


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_goes_on_to_the_same_files(
    predict: Predict,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: int,
) -> None:
    monkeypatch.setattr(writer, "SEGMENT_FRAMES", 12)
    wanted = ("--save", tmp_path / "whole", "--out", tmp_path / "whole.csv")
    assert predict(clip, *wanted).code == 0
    wanted = ("--save", tmp_path / "broken", "--out", tmp_path / "broken.csv")

    def stop_at_30(_: object, result: FrameResult) -> None:
        if result.frame == 30:
            os.kill(os.getpid(), number)

    # A test runner may have another handler of Ctrl-C than a terminal's programs.
    runners = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr("mien.cli.predict.video_table.ClipReporter.analyzed", stop_at_30)
        stopped = predict(clip, *wanted)
    signal.signal(signal.SIGINT, runners)
    assert stopped.code == code
    assert "--resume" in stopped.err
    kept = pd.read_csv(tmp_path / "broken.csv")
    assert kept["frame"].tolist() == list(range(31))
    refused = predict(clip, *wanted)
    assert refused.code == UsageError.exit_code
    assert "--resume" in refused.err
    other = predict(clip, *wanted, "--resume", "--faces", "biggest")
    assert "faces 'all', not 'biggest'" in other.err

    assert predict(clip, *wanted, "--resume").code == 0
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    made, whole = (list(_pictures(tmp_path / name / "walk.mp4")) for name in ("broken", "whole"))
    assert all((a == b).all() for a, b in zip(made, whole, strict=True))
    figures = [_figure(tmp_path / name / "walk-timeline.png") for name in ("broken", "whole")]
    assert (figures[0] == figures[1]).all()
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == ["walk-timeline.png", "walk.mp4"]
    again = predict(clip, *wanted, "--resume")
    assert "is complete" in again.err


def _figure(path: Path) -> np.ndarray:
    with Image.open(path) as figure:
        return np.asarray(figure)


def _pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def test_a_folder_of_clips_is_one_table_and_a_broken_one_does_not_stop_it(
    predict: Predict, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(clip.read_bytes())
    (folder / "b.mp4").write_bytes(b"no video at all")
    (folder / "c.mp4").write_bytes(clip.read_bytes())
    done = predict(folder, "--out", tmp_path / "t.json", "--interval", "0.5")
    assert done.code == 5
    assert "b.mp4" in done.err
    document = json.loads((tmp_path / "t.json").read_text())
    assert [Path(result["source"]).name for result in document["results"]] == ["a.mp4"] * 4 + ["c.mp4"] * 4
    assert [Path(error["source"]).name for error in document["errors"]] == ["b.mp4"]


def test_a_cut_clip_gives_what_could_be_read_and_says_so(
    predict: Predict, clip: Path, tmp_path: Path
) -> None:
    face = np.full((360, 640, 3), 90, np.uint8)
    cut = write_clip(tmp_path / "cut.mp4", [face] * 75, options={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    done = predict(cut, "--out", tmp_path / "t.csv")
    assert done.code == 5
    assert "cut short" in done.err
    assert len(pd.read_csv(tmp_path / "t.csv")) > 20


def test_nothing_is_overwritten_unasked(predict: Predict, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "walk.mp4").write_bytes(b"mine")
    done = predict(clip, "--save", tmp_path)
    assert done.code == 2
    assert "--overwrite" in done.err
    assert (tmp_path / "walk.mp4").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--blur-others"], "--faces biggest"),
        (["--resume"], "--out"),
        (["--json", "--csv"], "exclude each other"),
        (["--out", "x.txt"], "suffix"),
        (["--interval", "often"], "is not a valid time"),
        (["--start", "99"], "nothing is left"),
        (["--crops"], "for photos"),
    ],
)
def test_options_that_make_no_sense_are_said(
    predict: Predict,
    clip: Path,
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = predict(clip, *options)
    assert done.code == 2
    assert said in done.err


def test_photos_have_no_use_for_the_options_of_clips(predict: Predict) -> None:
    assert "are for clips" in predict(PHOTO, "--interval", "1s").err


def test_sources_are_split_into_clips_and_photos(clip: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.mp4", "c.txt"):
        (tmp_path / name).touch()
    folder, empty = str(tmp_path), tmp_path / "empty"
    empty.mkdir()
    moving = [str(clip), "0", "rtsp://host/x"]
    assert split_sources([*moving, str(PHOTO), "-"]) == (moving, [str(PHOTO), "-"])
    assert split_sources([folder, f"{folder}/*"]) == ([folder, f"{folder}/*"], [folder, f"{folder}/*"])
    assert split_sources([f"{folder}/*.mp4", str(empty)]) == ([f"{folder}/*.mp4"], [str(empty)])


@pytest.fixture
def mixed(clip: Path, tmp_path: Path) -> Path:
    """A folder with a clip and two photos, one of them broken."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(clip, folder / "walk.mp4")
    shutil.copy(PHOTO, folder / "anna.jpg")
    (folder / "broken.png").write_bytes(b"nothing")
    return folder


def test_everything_in_a_folder_of_photos_and_clips_is_read(predict: Predict, mixed: Path) -> None:
    """One photo in a folder of clips made all clips vanish, with exit code 0."""
    done = predict(mixed, "--end", "0.4s")
    assert done.code == ImageError.exit_code
    assert "broken.png" in done.err
    assert "anna.jpg" in done.out
    assert "walk.mp4" in done.out


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
def test_photos_and_clips_share_a_table(predict: Predict, mixed: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"all.{form}"
    done = predict(mixed, "--end", "0.4s", "--out", out, "--save", tmp_path / "saved")
    assert done.code == ImageError.exit_code
    assert {path.name for path in (tmp_path / "saved").iterdir()} >= {"anna.jpg", "walk.mp4"}
    if form == "json":
        document = json.loads(out.read_text())
        assert [Path(result["source"]).name for result in document["results"]] == ["anna.jpg"] + 10 * [
            "walk.mp4"
        ]
        assert [Path(error["source"]).name for error in document["errors"]] == ["broken.png"]
        return
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": partial(pd.read_json, lines=True)}[form]
    table = read(out).sort_values("source", kind="stable")
    assert [Path(source).name for source in table["source"]] == ["anna.jpg", "broken.png"] + 10 * ["walk.mp4"]
    assert table["frame"].isna().tolist() == [True, True] + 10 * [False]
    assert table["face_id"].isna().tolist() == [False, True] + 10 * [False]
    assert "cannot be read" in table["error"].tolist()[1]
    assert table["width"].notna().sum() == 1
    assert table["happy"].notna().sum() == 11
    assert not [name for name in table if " " in name]


def test_an_interrupted_run_over_photos_and_clips_resumes(
    predict: Predict, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(mixed, "--out", tmp_path / "whole.json").code == ImageError.exit_code

    def stop_at_9(_: object, result: FrameResult) -> None:
        if result.frame == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mien.cli.predict.video_table.ClipReporter.analyzed", stop_at_9)
        assert predict(mixed, "--out", tmp_path / "broken.json").code == 130
    predict(mixed, "--out", tmp_path / "broken.json", "--resume")
    assert (tmp_path / "broken.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_a_clip_whose_name_looks_like_a_time_is_read(
    predict: Predict, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg took the part before the colon for a protocol."""
    shutil.copy(clip, tmp_path / "12:30:45.mp4")
    monkeypatch.chdir(tmp_path)
    assert predict("12:30:45.mp4", "--save", "saved", "--out", "a.csv").code == 0
    assert len(pd.read_csv("a.csv")) == 50
    with av.open(str(tmp_path / "saved" / "12:30:45.mp4")) as made:
        assert made.streams.video[0].frames == 50


def test_a_narrow_terminal_cuts_no_number_and_many_people_are_counted() -> None:
    people = [
        Person(
            "a.mp4", i, 3600.0, 7200.0 + i, 100.0 + i, {"surprise": 60.0, "neutral": 40.0 + i}, switches=1234
        )
        for i in range(1, 26)
    ]
    for person in people:
        person.longest = Run("surprise", 0.0, 12345.6)
    people[-1].warned_s, people[-1].warnings = 50.0, {"moved": 25.0, "covered": 50.0}
    stream = io.StringIO()
    print_people(Console(file=stream, width=40), "a.mp4", people)
    lines = stream.getvalue().splitlines()
    assert "…" not in stream.getvalue()
    rows = [line for line in lines if "12345.6 s" in line and "1234 " in line and "1:00:00-2:00:" in line]
    assert [int(row.split()[0]) for row in rows] == list(range(6, 26))
    assert any(line.startswith("and 5 more") for line in lines)
    assert "25 is hard to see: covered 40%, moved 20% of the time" in " ".join(lines)


def test_an_address_needs_stream(predict: Predict) -> None:
    done = predict("rtsp://me:secret@127.0.0.1:1/x")
    assert done.code == 2
    assert "--stream" in done.err
    assert "secret" not in done.err


def test_a_camera_that_is_absent_is_said(predict: Predict) -> None:
    done = predict("97")
    assert done.code == 5
    assert "camera 97" in done.err


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.2s", 0.2), ("200ms", 0.2), ("90", 90), (" 2 min", 120), ("1:30", 90), ("1:02:03.5", 3723.5)],
)
def test_times_are_read_as_people_write_them(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "soon", "-1", "1:2", "1:2:3:4", "5 days"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid time"):
        seconds(text)


def test_files_of_clips_of_one_name_do_not_meet() -> None:
    names = file_names(["a/x.mp4", "b/X.mkv", "0", "rtsp://h/1"])
    assert list(names.values()) == ["x", "X-2", "camera-0", "stream"]


def test_show_opens_a_window_and_says_where_there_is_none(
    predict: Predict, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    class Seen:
        def __init__(self, *, blur_others: bool) -> None:
            assert not blur_others

        def show(self, analyzed: AnalyzedFrame) -> bool:
            assert analyzed.frame is not None
            shown.append(analyzed.result.frame)
            return True

        def close(self) -> None:
            shown.append("closed")

    with monkeypatch.context() as patch:
        patch.setattr("mien.video.batch.Window", Seen)
        assert predict(clip, "--show", "--end", "0.4s").code == 0
    assert shown == [*range(10), "closed"]
    monkeypatch.setitem(sys.modules, "tkinter", None)
    done = predict(clip, "--show")
    assert done.code == UsageError.exit_code
    assert "mien live" in done.err
