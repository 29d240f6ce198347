"""Data sets of photos: one row for every file, continued by a second run, whatever happened to the first."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import mien
from mien.batch import read_images, status
from mien.batch.dataset import DataSet
from mien.batch.pool import read_batches
from mien.batch.sources import iter_files
from mien.batch.worker import ImageWorker, ReadOptions
from mien.errors import DataError, ImageError, UsageError

pytest.importorskip("pyarrow")


def rows_of(out: Path) -> pd.DataFrame:
    """All rows of the parts, in an order that does not depend on the parts."""
    table = pd.read_parquet(out / "images")
    return table.sort_values(["source", "face_id"]).reset_index(drop=True)


def test_every_file_has_a_row_and_broken_ones_say_why(photos: Path, tmp_path: Path) -> None:
    result = read_images([photos], tmp_path / "out", workers=1)
    assert (result.files, result.failed, result.known) == (10, 2, 0)
    rows = rows_of(tmp_path / "out")
    assert rows["source"].nunique() == 10
    broken = rows[rows["error"].notna()].set_index("source")
    assert set(broken["error"]) == {"ImageError"}
    assert "is empty (0 bytes)" in broken.loc[str(photos / "more" / "empty.png"), "message"]
    assert sorted(result.failures) == sorted(zip(broken.index, broken["message"], strict=True))


def test_rows_are_those_of_analyze(photos: Path, tmp_path: Path) -> None:
    read_images([photos], tmp_path / "out", workers=1)
    rows = rows_of(tmp_path / "out").set_index("source")
    for path in (photos / "0.jpg", photos / "more" / "5.jpg"):
        (face,) = mien.analyze(path)
        row = rows.loc[str(path)]
        assert row["top"] == face.top[0]
        for name in ("angry", "happy", "sad"):
            assert row[name] == pytest.approx(face.emotions[name], abs=1e-5)
        assert [row["x"], row["y"]] == pytest.approx(face.box[:2], abs=0.01)


def test_the_whole_table_and_the_manifest_stand_beside_the_parts(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    read_images([photos], out, workers=1, part_files=3)
    assert [path.name for path in DataSet(out).parts()] == [f"part-0000{i}.parquet" for i in range(4)]
    whole = pd.read_parquet(out / "images.parquet").sort_values(["source", "face_id"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, rows_of(out))
    assert len(pd.read_csv(out / "images.csv")) == len(whole)
    manifest = json.loads((out / "images.json").read_text())
    assert list(manifest["tables"]["images"]) == list(whole.columns)
    assert manifest["mien"] == mien.__version__
    assert len(manifest["model"]["sha256"]) == 64
    # What decides about warnings is pinned too: other limits do not go on in the same folder.
    manifest["model"]["limits"]["size"] = [99.0, None]
    (out / "images.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"model\.limits\.size is \[99"):
        read_images([photos], out, workers=1)


def test_a_second_run_reads_what_is_missing_or_changed_alone(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    read_images([photos], out, workers=1, part_files=4)
    before = {path.name: path.stat().st_mtime_ns for path in DataSet(out).parts()}
    assert read_images([photos], out, workers=1).files == 0
    assert {path.name: path.stat().st_mtime_ns for path in DataSet(out).parts()} == before
    shutil.copy(photos / "0.jpg", photos / "new.jpg")
    shutil.copy(photos / "4.jpg", photos / "broken.jpg")
    result = read_images([photos], out, workers=1)
    assert (result.files, result.changed, result.known) == (2, 1, 9)
    rows = rows_of(out)
    assert rows["source"].nunique() == len(rows) == 11
    assert pd.isna(rows.set_index("source").loc[str(photos / "broken.jpg"), "error"])


def test_a_touched_file_is_read_again_unless_its_hash_decides(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    read_images([photos], out, workers=1)
    os.utime(photos / "0.jpg", (1, 1))
    assert read_images([photos], out, workers=1, verify_hash=True).files == 0
    result = read_images([photos], out, workers=1)
    assert (result.files, result.changed) == (1, 1)
    status_before = (photos / "2.jpg").stat()
    content = bytearray((photos / "2.jpg").read_bytes())
    content[-3] ^= 1  # another file of the same size and time
    (photos / "2.jpg").write_bytes(content)
    os.utime(photos / "2.jpg", ns=(status_before.st_atime_ns, status_before.st_mtime_ns))
    assert read_images([photos], out, workers=1).files == 0
    assert read_images([photos], out, workers=1, verify_hash=True).changed == 1
    assert len(rows_of(out)) == 10


def test_a_missing_file_is_tried_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    listed = tmp_path / "list.txt"
    listed.write_text("photos/0.jpg\nphotos/later.jpg\n\nphotos/0.jpg\n")
    result = read_images([listed], out, workers=1)
    assert (result.files, result.failed) == (2, 1)
    assert rows_of(out).set_index("source")["error"].to_dict()[str(photos / "later.jpg")] == "OSError"
    shutil.copy(photos / "0.jpg", photos / "later.jpg")
    assert read_images([listed], out, workers=1).failed == 0
    assert len(rows_of(out)) == 2


def test_other_options_into_the_same_folder_are_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    read_images([photos / "0.jpg"], out, workers=1)
    with pytest.raises(UsageError, match=r"options\.align is False there, True now"):
        read_images([photos / "0.jpg"], out, ReadOptions(align=True), workers=1)
    with pytest.raises(UsageError, match="mien-lite0"):
        read_images([photos / "0.jpg"], out, ReadOptions("mien-tiny"), workers=1)
    assert read_images([photos / "0.jpg"], out, ReadOptions(align=True), workers=1, overwrite=True).files == 1


def test_shards_share_the_files_out_and_merge_joins_them(photos: Path, tmp_path: Path) -> None:
    read_images([photos], tmp_path / "whole", workers=1)
    out = tmp_path / "out"
    files = [read_images([photos], out, shard=(i, 3), workers=1).files for i in (1, 2, 3)]
    assert sum(files) == 10
    assert not (out / "images.parquet").exists()
    found = status(out)
    assert (found.files, sum(found.errors.values())) == (10, 2)
    assert list(found.shards.values()) == [count for count in files if count]
    DataSet(out).merge()
    names = [name for name in rows_of(out).columns if name != "file_id"]
    pd.testing.assert_frame_equal(rows_of(out)[names], rows_of(tmp_path / "whole")[names])
    # A shard reads its own parts alone; other shares, or none, find the same files.
    assert len(DataSet(out).known((1, 3)).ids) == files[0]
    assert read_images([photos], out, shard=(2, 4), workers=1).files == 0
    assert read_images([photos], out, workers=1).known == 10


def test_a_share_is_the_same_wherever_the_folder_is(photos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "photos"
    shutil.copytree(photos, moved)
    here, there = ({file.name for file in iter_files([str(each)])} for each in (photos, moved))
    assert here == there == {file.name for file in iter_files([f"{photos}/**/*.*"])}


def test_several_processes_give_the_same_rows(photos: Path, tmp_path: Path) -> None:
    read_images([photos], tmp_path / "one", workers=1)
    read_images([photos], tmp_path / "two", workers=2)
    names = [name for name in rows_of(tmp_path / "one").columns if name != "file_id"]
    pd.testing.assert_frame_equal(rows_of(tmp_path / "one")[names], rows_of(tmp_path / "two")[names])


def test_crops_are_read_without_detection(photos: Path, tmp_path: Path) -> None:
    read_images([photos], tmp_path / "out", ReadOptions(crops=True), workers=1)
    rows = rows_of(tmp_path / "out")
    assert rows["face_id"].count() == 8
    assert rows["confidence"].isna().all()


def test_an_error_of_the_model_costs_one_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ImageWorker._faces

    def fail(self, files, facts):
        if any(file.source.endswith("4.jpg") for file in files):
            raise ZeroDivisionError("no model is perfect")
        return whole(self, files, facts)

    monkeypatch.setattr(ImageWorker, "_faces", fail)
    assert read_images([photos], tmp_path / "out", workers=1).failed == 3
    rows = rows_of(tmp_path / "out").set_index("source")
    assert rows.loc[str(photos / "4.jpg"), "error"] == "ZeroDivisionError"


@pytest.mark.usefixtures("crashing")
def test_a_file_that_ends_its_process_costs_one_file(photos: Path) -> None:
    """A decoder that crashes takes its process along; Pillow's are C code."""
    files = [(file, number) for number, file in enumerate(iter_files([str(photos)]))]
    batches = [files[:4], files[4:7], files[7:]]
    several = list(read_batches(iter(batches), ReadOptions(), 2))
    assert [rows.files for rows in several] == [4, 3, 3]
    failures = dict(failure for rows in several for failure in rows.failures)
    assert "the process that read the file ended" in failures[str(photos / "broken.jpg")]
    assert len(failures) == 2


def test_a_script_without_a_main_guard_is_told_so(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import sys; from mien.batch import read_images; read_images([sys.argv[1]], sys.argv[2], workers=2)"
    )
    done = subprocess.run([sys.executable, script, photos, tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("or use one worker.")
    assert DataSet(tmp_path / "out").parts() == []


def test_two_processes_cannot_write_the_same_folder(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    read_images([photos / "0.jpg"], out, workers=1)
    with DataSet(out).locked(None), pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
        read_images([photos / "0.jpg"], out, workers=1)
    assert read_images([photos / "0.jpg"], out, workers=1).known == 1


def test_sources_without_images_and_folders_without_data_sets_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="contains no images"):
        read_images([tmp_path], tmp_path / "out")
    with pytest.raises(DataError, match="holds no data set of images"):
        status(tmp_path)


def test_what_was_read_before_ctrl_c_is_kept(photos: Path, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "reading" and done:
            raise KeyboardInterrupt

    for number in range(60):
        shutil.copy(photos / "0.jpg", photos / f"copy-{number}.jpg")
    with pytest.raises(KeyboardInterrupt):
        read_images([photos], tmp_path / "out", workers=1, progress=interrupt)
    kept = status(tmp_path / "out").files
    assert 0 < kept < 70
    assert read_images([photos], tmp_path / "out", workers=1).known == kept


def test_a_killed_run_is_finished_by_the_next(photos: Path, tmp_path: Path) -> None:
    """kill -9 at random moments, then again: the same rows, none twice and none missing."""
    for number in range(30):
        shutil.copy(photos / f"{number % 4 * 2}.jpg", photos / f"copy-{number}.jpg")
    read_images([photos], tmp_path / "whole", workers=1, part_files=3)
    out, moments = tmp_path / "out", random.Random(0)
    code = (
        "import sys; from mien.batch import read_images\n"
        "if __name__ == '__main__': read_images([sys.argv[1]], sys.argv[2], workers=2, part_files=3)"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    killed = 0
    for _ in range(6):
        run = subprocess.Popen([sys.executable, script, photos, out], stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.1, 0.8))
        killed += run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait()
        if (out / "images").is_dir() and DataSet(out).parts():
            table = pd.read_parquet(out / "images")
            assert not table.duplicated(["source", "face_id"]).any()
    assert killed >= 1
    assert subprocess.run([sys.executable, script, photos, out]).returncode == 0
    names = [name for name in rows_of(out).columns if name != "file_id"]
    pd.testing.assert_frame_equal(rows_of(out)[names], rows_of(tmp_path / "whole")[names])
    assert not list((out / "images").glob(".*tmp*"))
