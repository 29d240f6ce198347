"""Data sets of clips: rows for every clip, ranges of a long one joined to the rows of the whole."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mien.batch.ranges
from mien.batch import ClipReadOptions, ReadOptions, merge_clips, read_clips, status
from mien.batch.clip_worker import ClipDataWork, ClipWorker
from mien.batch.dataset import DataSet
from mien.errors import ImageError, UsageError
from mien.inference.analyzer import Analyzer
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.analysis import analyze_video
from mien.video.output.table import to_frame
from mien.video.runner import BatchObserver

pytest.importorskip("pyarrow")
PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
FACE = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
MIRRORED = np.ascontiguousarray(FACE[::-1, ::-1][::-1])


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> ReadOptions:
    return ReadOptions(str(write_band_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of some frames in two folders, one of them cut short, and a file that is not a clip."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "more").mkdir()
    for name, frames in (("a", 8), ("b", 5), ("more/c", 30)):
        moving = play([Actor(FACE, lambda t: (150 + 60 * t, 90, 120))], frames / 25, size=(320, 180))
        write_clip(folder / f"{name}.mkv", moving)
    whole = (folder / "more" / "c.mkv").read_bytes()
    (folder / "more" / "c.mkv").write_bytes(whole[: len(whole) * 2 // 5])
    (folder / "broken.mp4").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds: one person crosses both seams, and one is out of sight at the second and returns."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    actors = [
        Actor(FACE, lambda t: (80 + 15 * t, 90, 110)),
        Actor(MIRRORED, lambda t: (250, 80, 120) if t < 1.7 or t > 2.3 else None),
    ]
    return write_clip(path, play(actors, 3.0, size=(320, 180)))


def rows_of(out: Path) -> pd.DataFrame:
    """All rows of the parts, in an order that does not depend on the parts."""
    table = pd.read_parquet([str(part) for part in DataSet(out, "clips").parts()])
    table = table.drop(columns="file_id")  # it is that of the path from the data set
    return table.sort_values(["source", "frame", "face_id"]).reset_index(drop=True)


@pytest.fixture(scope="module")
def whole(clips: Path, read: ReadOptions, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("whole")
    assert read_clips([clips], out, ClipReadOptions(read), workers=1).failed == 2
    return rows_of(out)


def test_every_clip_has_rows_those_of_analyze_video_and_broken_ones_say_why(
    clips: Path, read: ReadOptions, whole: pd.DataFrame
) -> None:
    assert whole["source"].nunique() == 4
    expected = to_frame(analyze_video(clips / "a.mkv", analyzer=Analyzer(read.model, threads=1)))
    rows = whole[whole["source"] == str(clips / "a.mkv")].reset_index(drop=True)
    assert len(rows) == len(expected) == 8
    for name in ("frame", "face_id", "x", "top", "happy", "raw_happy", "detected"):
        assert rows[name].tolist() == pytest.approx(expected[name].tolist()), name
    wrong = whole[whole["error"].notna()].set_index("source")
    assert wrong["error"].to_dict() == {
        str(clips / "broken.mp4"): "ImageError",
        str(clips / "more" / "c.mkv"): "Incomplete",
    }
    assert wrong["frame"].isna().all()
    assert "the file is cut short" in wrong.loc[str(clips / "more" / "c.mkv"), "message"]


def test_a_second_run_reads_changed_clips_and_the_whole_tables_stand_beside_the_parts(
    clips: Path, read: ReadOptions, whole: pd.DataFrame, tmp_path: Path
) -> None:
    copy, out = shutil.copytree(clips, tmp_path / "clips"), tmp_path / "out"
    options = ClipReadOptions(read)
    first = read_clips([copy], out, options, workers=1, part_files=2)
    assert (first.files, first.frames, first.failed) == (4, whole["frame"].count(), 2)
    assert [path.name for path in DataSet(out, "clips").parts()] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert read_clips([copy], out, options, workers=1).known == 4
    shutil.copy(copy / "b.mkv", copy / "broken.mp4")
    again = read_clips([copy], out, options, workers=1)
    assert (again.files, again.changed, again.known) == (1, 1, 3)
    merged = pd.read_parquet(out / "clips.parquet")
    assert len(merged) == len(pd.read_csv(out / "clips.csv")) == len(whole) - 1 + 5
    assert not merged.duplicated(["source", "frame", "face_id"]).any()
    with pytest.raises(UsageError, match=r"options\.range_s is None there, 10 now"):
        read_clips([copy], out, ClipReadOptions(read, range_s=10), workers=1)
    with pytest.raises(ImageError, match="contains no clips"):
        read_clips([tmp_path / "out"], tmp_path / "other")


def test_shards_share_clips_out(clips: Path, read: ReadOptions, whole: pd.DataFrame, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([*map(str, sorted(clips.rglob("*.m*"))), str(PHOTO)]))
    out, options = tmp_path / "out", ClipReadOptions(read)
    files = [read_clips([listed], out, options, shard=(i, 2), workers=1).files for i in (1, 2)]
    assert sum(files) == 4  # the photo is left to `read_images`
    assert status(out, "clips").files == 4
    assert merge_clips(out) == (len([count for count in files if count]), 0)
    pd.testing.assert_frame_equal(rows_of(out), whole)


def test_ranges_joined_are_the_rows_of_the_whole_clip(
    long: Path, read: ReadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mien.batch.ranges, "OVERLAP_S", 0.4)
    read_clips([long], tmp_path / "whole", ClipReadOptions(read), workers=1)
    out, options = tmp_path / "out", ClipReadOptions(read, range_s=1.0)
    parts = [read_clips([long], out, options, shard=(i, 2), workers=1) for i in (1, 2)]
    assert sum(part.ranges for part in parts) == 3
    assert [part.joined for part in parts] == [0, 1]
    assert parts[0].waiting == 1
    expected, rows = rows_of(tmp_path / "whole"), rows_of(out)
    pd.testing.assert_frame_equal(rows, expected)
    assert rows["face_id"].nunique() == 2  # nobody gets another number at a seam
    assert [path.name.split("-")[1] for path in sorted((out / "clips").glob("*-*"))] == ["clip"]
    assert read_clips([long], out, options, workers=1).known == 1


def test_a_range_that_ends_its_process_is_named_and_the_others_are_joined(
    long: Path, read: ReadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mien.batch.ranges, "OVERLAP_S", 0.4)
    whole = ClipWorker.read

    def fail(self, item):
        if item[0].range == (2, 3):
            return self._work.lost(item, "the process that read it ended", BatchObserver())
        return whole(self, item)

    options = ClipReadOptions(read, interval_s=0.2, range_s=1.0)
    monkeypatch.setattr(ClipWorker, "read", fail)
    monkeypatch.setattr(ClipWorker, "_work", ClipDataWork(options), raising=False)
    out = tmp_path / "out"
    assert read_clips([long], out, options, workers=1).failed == 1
    rows = rows_of(out)
    (wrong,) = rows[rows["error"].notna()].to_dict("records")
    assert wrong["message"] == "range 2 of 3: the process that read it ended"
    # Its neighbours overlap it by 0.4 s; the persons keep their numbers across the gap.
    assert rows["frame"].dropna().unique().tolist() == [0, 5, 10, 15, 20, 25, 30, 50, 55, 60, 65, 70]
    assert rows["face_id"].nunique() == 2


def test_a_killed_run_is_finished_by_the_next(
    clips: Path, long: Path, read: ReadOptions, tmp_path: Path
) -> None:
    """kill -9 at random moments, then again: each clip once, also the one that is cut into ranges."""
    out, moments = tmp_path / "out", random.Random(0)
    script = tmp_path / "run.py"
    script.write_text(
        "import sys; from mien.batch import ClipReadOptions, ReadOptions, read_clips\n"
        "if __name__ == '__main__':\n"
        "    options = ClipReadOptions(ReadOptions(sys.argv[1]), interval_s=0.2, range_s=1.5)\n"
        "    read_clips(sys.argv[3:], sys.argv[2], options, workers=2, part_files=1)"
    )
    command = [sys.executable, script, read.model, out, clips, long]
    for _ in range(2):
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.8, 1.8))
        run.send_signal(signal.SIGKILL)
        run.wait()
        if DataSet(out, "clips").parts():
            assert not rows_of(out).duplicated(["source", "frame", "face_id"]).any()
    for _ in range(2):  # the second has nothing to read
        assert subprocess.run(command, timeout=120).returncode == 0
    read_clips([clips, long], tmp_path / "one", ClipReadOptions(read, interval_s=0.2), workers=1)
    pd.testing.assert_frame_equal(rows_of(out), rows_of(tmp_path / "one"))
    left = {
        path.name.split("-")[0] for path in (out / "clips").iterdir() if not path.name.startswith(".lock")
    }
    assert left == {"part"}
