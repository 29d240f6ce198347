"""`mien predict clips/ --out study/`: the folder of a study, from the command line to pandas and R."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

import mien
from mien.cli.app import main
from mien.emotions import ABSTAIN, FER2013, VOTES
from mien.errors import ImageError, UsageError
from mien.models.card import Head
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.options.study import StudyOptions
from mien.video.results import FrameResult
from mien.video.study.dictionary import TABLES
from mien.video.study.rewrite import rewrite

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "astronaut.jpg"
_EXPORTS = [word for name in ("elan", "boris", "observer", "bids", "long") for word in ("--export", name)]
_OPTIONS = [
    "--bin",
    "500ms",
    "--baseline",
    "0s-0.4s",
    "--event-threshold",
    "0.02",
    "--event-hysteresis",
    "0.005",
]

Predict = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = (Head("fer2013", FER2013), Head("votes", VOTES, ABSTAIN))
    return write_band_model(tmp_path_factory.mktemp("model"), heads=heads)


@pytest.fixture
def predict(model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Predict:
    def run(*arguments: object) -> tuple[int, str, str]:
        words = ["mien", "predict", "--threads", "1", "--model", str(model), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        code = 0
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a face that gets darker, a face that is gone for a while, a photo, and broken files."""
    folder = tmp_path_factory.mktemp("clips")
    anna = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    still = [Actor(anna, lambda t: (300, 180, 220))]
    frames = (frame * max(0.35, 1 - i / 30) for i, frame in enumerate(play(still, 1.2)))
    write_clip(folder / "dark.mp4", (frame.astype(np.uint8) for frame in frames))
    gone = [Actor(anna, lambda t: (300, 180, 220) if not 0.5 < t < 0.9 else None)]
    write_clip(folder / "gone at 12:30.mp4", play(gone, 2.8))
    shutil.copy(PHOTO, folder / "photo.jpg")
    (folder / "broken.mp4").write_bytes(b"nothing")
    (folder / "broken.jpg").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def study(clips: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the folder, made once."""
    out = tmp_path_factory.mktemp("out") / "study"
    command = [
        sys.executable,
        "-m",
        "mien.cli.app",
        "predict",
        clips,
        "--out",
        f"{out}/",
        *_OPTIONS,
        *_EXPORTS,
    ]
    done = subprocess.run(
        [*map(str, command), "--threads", "1", "--model", str(model)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == ImageError.exit_code, done.stderr
    assert "broken.mp4" in done.stderr
    assert "broken.jpg" in done.stderr
    return out


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_clip_and_all_together_have_every_table_as_csv_and_parquet(study: Path) -> None:
    for folder in (study, study / "dark", study / "gone at 12:30"):
        for name in TABLES:
            text = pd.read_csv(folder / f"{name}.csv", dtype={"warnings": str})  # often none
            parquet = pd.read_parquet(folder / f"{name}.parquet")
            assert list(text.columns) == list(parquet.columns)
            assert len(text) == len(parquet)
            assert len(text) > 0 or (name == "events" and folder.name.startswith("gone"))
            for column in text:
                if text[column].dtype.kind == "f":
                    assert text[column].to_numpy() == pytest.approx(
                        parquet[column].astype(float), nan_ok=True
                    )
    parts = [pd.read_parquet(study / name / "frames.parquet") for name in ("dark", "gone at 12:30")]
    pd.testing.assert_frame_equal(
        pd.concat(parts, ignore_index=True), pd.read_parquet(study / "frames.parquet")
    )
    with Image.open(study / "dark" / "timeline.png") as figure:
        assert figure.width > 1000
    assert not list(study.rglob(".*"))


def test_photos_of_the_folder_have_a_table_of_their_own(study: Path) -> None:
    table = pd.read_parquet(study / "images.parquet")
    assert sorted(Path(source).name for source in table["source"]) == ["broken.jpg", "photo.jpg"]
    assert table["happy"].notna().sum() == 1
    described = json.loads((study / "images.json").read_text())
    assert list(described["tables"]["images"]) == list(table.columns)


def test_the_sidecar_says_how_the_tables_came_about(study: Path, clips: Path, model: Path) -> None:
    sidecar = json.loads((study / "dark" / "clip.json").read_text())
    clip = clips / "dark.mp4"
    assert sidecar["mien"] == mien.__version__
    assert sidecar["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert sidecar["source"]["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert sidecar["source"]["path"] == str(clip)
    assert (sidecar["fps"], sidecar["duration_s"], sidecar["time_base"]) == (25.0, 1.2, "1/12800")
    assert (sidecar["analyzed_frames"], sidecar["size"], sidecar["complete"]) == (30, [640, 360], True)
    assert sidecar["study_options"]["baseline_s"] == [0.0, 0.4]
    assert sidecar["options"]["smoothing"]["tau_s"] == 0.2
    assert set(sidecar["rest"]["1"]) >= {"happy", "valence"}
    for name in TABLES:
        table = pq.read_table(study / "dark" / f"{name}.parquet")
        assert list(sidecar["tables"][name]) == table.column_names
        assert json.loads(table.schema.metadata[b"mien"]) == sidecar
        field = table.schema.field("face_id")
        assert field.metadata[b"description"].decode() == sidecar["tables"][name]["face_id"]["description"]
    whole = json.loads((study / "study.json").read_text())
    assert [clip["folder"] for clip in whole["clips"]] == ["dark", "gone at 12:30"]
    assert [Path(error["source"]).name for error in whole["errors"]] == ["broken.mp4"]


def test_tables_agree_with_each_other_and_with_the_summary(study: Path) -> None:
    frames, people = pd.read_parquet(study / "frames.parquet"), pd.read_parquet(study / "people.parquet")
    intervals = pd.read_parquet(study / "intervals.parquet")
    pd.testing.assert_frame_equal(
        mien.summary(frames), people[mien.summary(frames).columns], check_dtype=False, atol=5e-5, rtol=0
    )
    seen = intervals.groupby(["source", "face_id"])["seconds"].sum()
    assert seen.to_numpy() == pytest.approx(people["seconds"].to_numpy(), abs=1e-5)
    rest = frames[(frames["time_s"] < 0.4) & (frames["face_id"] == 1)]
    for _, clip in rest.groupby("source"):
        assert clip["delta_happy"].mean() == pytest.approx(0, abs=1e-5)


def test_a_study_is_computed_again_from_its_logs_without_the_clips(study: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(study, tmp_path / "copy")
    for path in copy.rglob("*"):
        if path.is_file() and path.name not in ("log.jsonl", "clip.json", "study.json", "images.csv"):
            path.unlink()
    rewrite(copy)
    assert {name: content for name, content in files_of(copy).items() if "images" not in name} == {
        name: content for name, content in files_of(study).items() if "images" not in name
    }
    rewrite(copy, StudyOptions(bin_s=0.1))
    table = pd.read_csv(copy / "intervals.csv")
    assert set(np.round(table["end_s"] - table["start_s"], 6)) == {0.1}
    assert "mean_delta_happy" not in table
    with pytest.raises(UsageError, match="is not the folder of a study"):
        rewrite(tmp_path)


def test_an_interrupted_study_goes_on_to_the_same_bytes(
    predict: Predict, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = (clips / "dark.mp4", clips / "gone at 12:30.mp4")
    assert predict(*sources, "--out", tmp_path / "whole", *_OPTIONS, *_EXPORTS)[0] == 0

    def stop(_: object, result: FrameResult) -> None:
        if result.frame == 17 and "gone" in result.source:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mien.cli.predict.video_table.ClipReporter.analyzed", stop)
        assert predict(*sources, "--out", tmp_path / "broken", *_OPTIONS, *_EXPORTS)[0] == 130
    kept = pd.read_csv(tmp_path / "broken" / "frames.csv")
    assert 30 < len(kept) < 100  # what was read is in the tables already
    code, _, err = predict(*sources, "--out", tmp_path / "broken", *_OPTIONS, *_EXPORTS)
    assert code == UsageError.exit_code
    assert "--resume" in err
    assert predict(*sources, "--out", tmp_path / "broken", *_OPTIONS, *_EXPORTS, "--resume")[0] == 0
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole")
    code, _, err = predict(*sources, "--out", tmp_path / "whole", "--resume")
    assert (code, "is complete" in err) == (UsageError.exit_code, True)


def test_people_are_numbered_across_the_clips_of_a_study(
    predict: Predict, clips: Path, tmp_path: Path
) -> None:
    """The tables come from a replay of each clip, which has to know who was seen before it."""
    sources = (clips / "gone at 12:30.mp4", clips / "dark.mp4")
    assert predict(*sources, "--people", "all", "--out", tmp_path / "study")[0] == 0
    assert predict(*sources, "--people", "all", "--out", tmp_path / "table.csv")[0] == 0
    table, study = pd.read_csv(tmp_path / "table.csv"), pd.read_csv(tmp_path / "study" / "frames.csv")
    pd.testing.assert_series_equal(study["face_id"], table["face_id"])
    assert table.groupby("source")["face_id"].max().tolist() == [1, 1]  # in both clips, the same person
    before = files_of(tmp_path / "study")
    rewrite(tmp_path / "study")
    assert files_of(tmp_path / "study") == before


def test_corrections_are_applied_without_the_clips(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mien", "predict", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    copy, file = shutil.copytree(study, tmp_path / "copy"), tmp_path / "mine.json"
    entry = {"number": 1, "clip": "dark", "kind": "rename", "person": 1, "name": "Anna"}
    file.write_text(json.dumps({"format": "mien corrections 1", "entries": [entry]}))
    code, out, _ = predict("--apply", file, "--out", copy)
    assert (code, out.startswith("applied ")) == (0, True)
    people = pd.read_csv(copy / "people.csv")
    assert people["name"].tolist()[0] == "Anna"
    assert people["name"].isna().sum() == len(people) - 1
    assert json.loads((copy / "corrections.json").read_text()) == json.loads(file.read_text())
    for words, remedy in (
        (("--apply", file), "needs a study as --out"),
        (("--apply", file, "--out", copy, "clip.mp4"), "no SOURCE"),
        (("--apply", file, "--out", copy, "--bin", "2s"), "leave out --bin"),
        (("--apply", tmp_path / "no.json", "--out", copy), "cannot be read"),
        ((), "no SOURCE is given"),
    ):
        code, _, err = predict(*words)
        assert (code, remedy in err) == (UsageError.exit_code, True), err


def test_people_who_are_seen_for_less_than_the_minimum_are_in_no_table(
    predict: Predict, tmp_path: Path
) -> None:
    """A second face is there for 0.4 s of 2; at 0.4 s it stays, as does who is seen for longer."""
    anna = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    brief = Actor(anna[:, ::-1], lambda t: (470, 180, 200) if 0.79 < t < 1.19 else None)
    scene = [Actor(anna, lambda t: (160, 180, 200)), brief]
    clip = write_clip(tmp_path / "brief.mp4", play(scene, 2.0, rate=10), rate=10)
    people = {}
    for least in ("0s", "0.4s", "0.5s"):
        out = tmp_path / least.replace(".", "_")
        code, _, stderr = predict(clip, "--out", f"{out}/", "--min-duration", least, "--export", "long")
        assert code == 0, stderr
        people[least] = {
            name: set(pd.read_csv(path)["face_id"].dropna())
            for name in ("frames", "people", "intervals", "brief/long")
            if (path := out / f"{name}.csv").exists()
        }
        assert len(pd.read_csv(out / "frames.csv")["frame"].unique()) == 20
    assert set(map(frozenset, people["0s"].values())) == {frozenset({1, 2})}
    assert people["0.4s"] == people["0s"]
    assert set(map(frozenset, people["0.5s"].values())) == {frozenset({1})}
    (sidecar,) = json.loads((tmp_path / "0_5s" / "study.json").read_text())["clips"]
    assert sidecar["left_out"] == {"2": pytest.approx(0.4)}
    rewrite(tmp_path / "0_5s", StudyOptions(exports=("long",)))
    assert (tmp_path / "0_5s" / "frames.csv").read_bytes() == (tmp_path / "0s" / "frames.csv").read_bytes()


def test_options_of_a_study_need_a_folder(predict: Predict, clips: Path, tmp_path: Path) -> None:
    code, _, err = predict(clips / "dark.mp4", "--bin", "2s", "--out", tmp_path / "a.csv")
    assert (code, "give --out a folder" in err) == (UsageError.exit_code, True)
    code, _, err = predict(clips / "dark.mp4", "--baseline", "10s", "--out", tmp_path / "study")
    assert (code, "'10s' is not a valid span of time" in err) == (UsageError.exit_code, True)
    code, _, err = predict(clips / "dark.mp4", "--baseline", "5s-1s", "--out", tmp_path / "study")
    assert code == UsageError.exit_code


def test_photos_alone_make_a_study_of_images(predict: Predict, tmp_path: Path) -> None:
    slash = f"{tmp_path / '0.5s'}/"  # the slash makes it a folder, although the name has a suffix
    assert predict(PHOTO, "--out", slash)[0] == 0
    assert sorted(path.name for path in Path(slash).iterdir()) == [
        "images", "images.csv", "images.json", "images.parquet"
    ]  # fmt: skip
    Path(slash).rename(tmp_path / "study")
    code, out, _ = predict(PHOTO, "--out", tmp_path / "study")
    assert (code, "0 photos read" in out, "1 were there already" in out) == (0, True, True)
    code, _, err = predict(PHOTO, "--out", tmp_path / "study", "--align")
    assert (code, "align" in err, "--overwrite" in err) == (UsageError.exit_code, True, True)
    assert predict(PHOTO, "--out", tmp_path / "study", "--align", "--overwrite")[0] == 0


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_the_r_script_reads_the_study(study: Path) -> None:
    script = ROOT / "docs" / "read_study.R"
    done = subprocess.run(
        ["Rscript", "--vanilla", str(script), str(study)], capture_output=True, text=True, check=True
    )
    frames = pd.read_parquet(study / "frames.parquet")
    for name in TABLES:
        table = pd.read_parquet(study / f"{name}.parquet")
        assert f"{name}: {len(table)} rows, {len(table.columns)} columns" in done.stdout
    named = frames[frames["face_id"].notna()]
    assert f"certain: {1 - named['uncertain'].astype(float).mean():.4f}" in done.stdout
    means = named.groupby(["source", "face_id"])["happy"].mean()
    printed = [float(line.split()[-1]) for line in done.stdout.splitlines() if ".mp4" in line]
    assert printed == pytest.approx(means.tolist(), rel=1e-4)
