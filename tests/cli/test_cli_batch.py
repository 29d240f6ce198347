"""`mien predict --out FOLDER` for photos, and `mien batch`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mien.cli.app import app
from mien.errors import ImageError, UsageError
from mien.testing.clips import Actor, play, write_clip

pytest.importorskip("pyarrow")
PHOTO = Path(__file__).parent.parent.parent / "examples" / "astronaut.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(PHOTO) as whole:
        whole.convert("RGB").crop((130, 0, 330, 260)).save(folder / "a.jpg")
    shutil.copy(folder / "a.jpg", folder / "b.jpg")
    (folder / "broken.jpg").write_bytes(b"nothing")
    return folder


def run(*arguments: object):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_photos_become_a_data_set_with_a_row_for_each_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    first = run("predict", photos, "--out", out, "--threads", 1)
    assert first.exit_code == ImageError.exit_code
    assert "3 photos read: 2 faces, 1 cannot be read" in first.stdout
    assert "broken.jpg" in first.stderr
    again = run("predict", photos, "--out", out, "--threads", 1)
    assert (again.exit_code, "3 were there already" in again.stdout) == (0, True)
    assert pd.read_parquet(out / "images.parquet")["source"].nunique() == 3


def test_shards_are_listed_and_merged(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    for shard in ("1/2", "2/2"):
        run("predict", photos, "--out", out, "--shard", shard, "--threads", 1)
    text = run("batch", "status", out).stdout
    assert "3 files, 2 faces, 1 cannot be read" in text
    assert "broken.jpg: ImageError: " in text
    assert json.loads(run("batch", "status", out, "--json").stdout)["files"] == 3
    assert "images.parquet" in run("batch", "merge", out).stdout
    assert len(pd.read_csv(out / "images.csv")) == 3


def test_clips_and_photos_share_a_folder_and_a_long_clip_has_ranges(photos: Path, tmp_path: Path) -> None:
    face, out = np.asarray(Image.open(photos / "a.jpg")), tmp_path / "faces"
    write_clip(
        photos / "long.mp4",
        play([Actor(face, lambda _: (150, 90, 140))], 3.0, size=(320, 180), rate=10),
        rate=10,
    )
    common = ("predict", photos, "--out", out, "--range", "1.5s", "--interval", "0.2s", "--threads", 1)
    text = run(*common, "--shard", "1/2").stdout
    assert "0 clips read: 0 frames, 0 cannot be read whole; 1 ranges of long clips, 0 joined, 1 lack" in text
    text = run("batch", "status", out).stdout
    assert "long.mp4: 1 of 2 ranges read" in text
    assert "1 clips lack ranges" in run("batch", "merge", out).stdout
    text = run(*common, "--shard", "2/2").stdout
    assert "1 ranges of long clips, 1 joined. Shard 2/2" in text
    assert "clips.parquet" in run("batch", "merge", out).stdout
    rows = pd.read_csv(out / "clips.csv")
    assert (len(rows), rows["face_id"].tolist()) == (15, [1] * 15)
    assert len(pd.read_parquet(out / "images.parquet")) == 3
    found = json.loads(run("batch", "status", out, "--json").stdout)
    assert (found["files"], found["clips"]["files"], found["clips"]["shards"]) == (3, 1, {"joined ranges": 1})


def test_annotated_photos_are_saved_beside_a_data_set(photos: Path, tmp_path: Path) -> None:
    run("predict", photos, "--out", tmp_path / "faces", "--save", tmp_path / "drawn")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list.txt"], "is a list of files: give --out a folder"),
        (["s3://me:secret@bucket/x"], "s3://bucket/x is an address of a store"),
        ([str(PHOTO), "--shard", "1/2"], "are for data sets, with a folder"),
        ([str(PHOTO), "--out", "x", "--shard", "3/2"], "3/2 is not a share"),
        (["0", "--out", "x", "--shard", "1/2"], "reads clips in files and stores, not 0"),
        (["clip.mp4", "--out", "x", "--dataset", "--show"], "leave out --show"),
        (["clip.mp4", "--out", "x", "--engine", "ray"], "--engine ray reads photos"),
        (["clip.mp4", "--out", "x", "--range", "0.5s"], "a range must have 1 s or more, not 0.5 s"),
    ],
)
def test_options_of_data_sets_need_files_and_a_folder(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as raised:
        run("predict", *arguments)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
