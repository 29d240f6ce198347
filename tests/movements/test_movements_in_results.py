"""Movements where they are asked for: faces, tables, JSON, data sets, clips, logs and studies."""

from __future__ import annotations

import csv
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import mien
import mien.batch
from mien.batch.run import read_images
from mien.batch.worker import ReadOptions
from mien.cli.app import app
from mien.emotions import FER2013
from mien.errors import UsageError
from mien.inference.analyzer import Analyzer
from mien.inference.face import read_face
from mien.models.card import Head
from mien.movements.measures import NAMES, Movements, movements_of
from mien.movements.pose import canonical_triangles
from mien.testing.clips import write_clip
from mien.testing.fakes import FakeDetector, write_band_model
from mien.testing.mesh import draw_mesh
from mien.video.log import replay
from mien.video.results import FrameResult
from mien.video.study.measures import Measures
from mien.video.study.tables import PeopleTable

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
LIDS = {
    *zip((246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155), strict=True),
    *zip((466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382), strict=True),
}
# Which frames of the clip have closed lids.
CLOSED = (6, 7, 8)
Command = Callable[..., str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_band_model(tmp_path_factory.mktemp("model"), heads=(Head("fer2013", FER2013),))


@pytest.fixture(scope="module")
def analyzer(model: Path) -> Analyzer:
    return Analyzer(model, threads=1, movements=True)


@pytest.fixture(scope="module")
def blink(
    photo: NDArray[np.uint8], landmarks: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The example photo for 14 frames; the lids are drawn closed in three of them."""
    points = landmarks[:468].astype(float)
    for upper, lower in LIDS:
        points[upper] = points[lower]
    closed = draw_mesh(photo, points, canonical_triangles(), photo, landmarks)
    frames = [closed if i in CLOSED else photo for i in range(14)]
    return write_clip(tmp_path_factory.mktemp("clip") / "blink.mp4", frames)


@pytest.fixture(scope="module")
def results(
    blink: Path, analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[FrameResult], Path]:
    log = tmp_path_factory.mktemp("log") / "blink.jsonl"
    return list(mien.analyze_video(blink, analyzer=analyzer, log=log)), log


@pytest.fixture
def predict(model: Path) -> Command:
    def run(*arguments: object) -> str:
        done = CliRunner().invoke(app, ["predict", *map(str, arguments), "--model", str(model)])
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_faces_have_movements_only_where_they_are_asked_for(model: Path, analyzer: Analyzer) -> None:
    (face,) = analyzer.analyze(PHOTO)
    assert face.movements is not None
    assert face.movements.landmarks is not None
    assert face.movements.landmarks.shape == (478, 3)
    x, y, width, height = face.box
    middle = face.movements.landmarks[:, :2].mean(axis=0)
    assert middle == pytest.approx((x + width / 2, y + height / 2), abs=0.1 * width)
    assert face.to_dict()["movements"] == face.movements.to_dict()
    assert {name: face.to_row()[name] for name in NAMES} == face.movements.to_dict()
    (plain,) = Analyzer(model, threads=1).analyze(PHOTO)
    assert plain.movements is None
    assert "movements" not in plain.to_dict()
    assert not set(NAMES) & set(plain.to_row())
    assert mien.analyze(PHOTO, model=model, movements=True)[0].movements == face.movements


def test_who_does_not_ask_does_not_load_the_network() -> None:
    code = (
        "import mien, pathlib\n"
        "opened, read = [], pathlib.Path.read_bytes\n"
        "pathlib.Path.read_bytes = lambda self: opened.append(self.name) or read(self)\n"
        f"mien.analyze({str(PHOTO)!r}, model='mien-tiny')\n"
        "assert 'mien-tiny.onnx' in opened and 'facemesh.onnx' not in opened, opened\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_analyzer_with_movements_can_be_pickled(analyzer: Analyzer) -> None:
    again = pickle.loads(pickle.dumps(analyzer))
    assert again.analyze(PHOTO)[0].movements == analyzer.analyze(PHOTO)[0].movements
    assert "movements=True" in repr(again)


def test_cropped_faces_have_no_movements(analyzer: Analyzer) -> None:
    with pytest.raises(UsageError, match="movements need detected faces"):
        analyzer.analyze_crops([PHOTO])


def test_a_face_without_landmarks_is_uncertain_and_says_why(model: Path) -> None:
    """A false find: gray, with a box."""
    detector = FakeDetector(((20.0, 20.0, 60.0, 60.0),))
    (face,) = Analyzer(model, detector, movements=True).analyze(np.full((100, 100, 3), 120, np.uint8))
    assert face.movements is None
    assert "no landmarks" in face.warnings
    assert face.uncertain
    assert face.to_dict()["movements"] is None
    assert not set(NAMES) & set(face.to_row())


@pytest.mark.parametrize(("yaw", "words"), [(30.0, ()), (-65.0, ("turned",))])
def test_a_head_that_is_turned_beyond_the_limit_is_uncertain(
    yaw: float, words: Sequence[str], landmarks: NDArray[np.float32]
) -> None:
    """The limit is the card's, of the estimate from key points, which is 1.16 times as large."""
    values = movements_of(landmarks).to_dict() | {"head_yaw": yaw}
    movements = Movements(**values)  # type: ignore[arg-type]
    certain = np.array([0.97] + [0.005] * 6, np.float32)
    face = read_face(
        certain,
        Head("fer2013", FER2013),
        box=(0, 0, 9, 9),
        limits={"yaw": (None, 70.0)},
        movements=(movements,),
    )
    assert face.warnings == tuple(words)
    assert face.uncertain == bool(words)


def test_the_table_and_the_json_of_photos_have_them(predict: Command) -> None:
    (row,) = csv.DictReader(io.StringIO(predict(PHOTO, "--movements", "--csv")))
    assert abs(float(row["head_yaw"])) < 5
    assert float(row["mouth_open"]) > 0.05  # she smiles
    faces = json.loads(predict(PHOTO, "--movements", "--json"))["results"][0]["faces"]
    assert tuple(faces[0]["movements"]) == NAMES
    (plain,) = csv.DictReader(io.StringIO(predict(PHOTO, "--csv")))
    assert not set(NAMES) & set(plain)
    frame = mien.to_frame(mien.analyze(PHOTO, movements=True))
    assert set(NAMES) <= set(frame.columns)


def test_blinks_of_a_clip_are_seen_in_its_table(
    results: tuple[list[FrameResult], Path], predict: Command, blink: Path
) -> None:
    movements = [result.faces[0].face.movements for result in results[0]]
    assert all(each is not None for each in movements)
    blinks = [(each.blink_right + each.blink_left) / 2 for each in movements if each]
    assert len(blinks) == 14
    assert min(blinks[i] for i in CLOSED) > 0.25
    assert max(blinks[i] for i in range(14) if i not in CLOSED) < 0.05
    table = pd.read_csv(io.StringIO(predict(blink, "--movements", "--csv")))
    assert table["blink_right"].tolist() == pytest.approx([m.blink_right for m in movements if m], abs=1e-4)
    assert table["warnings"].isna().all()


def test_a_log_keeps_the_movements(
    results: tuple[list[FrameResult], Path], blink: Path, analyzer: Analyzer, model: Path, tmp_path: Path
) -> None:
    """Replayed, and resumed, to the same results; the landmarks are not kept."""
    whole, log = results
    replayed = list(replay(log))
    assert replayed == whole
    assert replayed[3].faces[0].face.movements is not None
    assert replayed[3].faces[0].face.movements.landmarks is None
    again = tmp_path / "again.jsonl"
    again.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:8]))
    video = mien.video.analysis.open_source(blink)
    resumed = mien.video.analysis.VideoAnalysis(video, analyzer, log=again, resume=True)
    assert list(resumed) == whole
    assert again.read_bytes() == log.read_bytes()
    video = mien.video.analysis.open_source(blink)
    with pytest.raises(UsageError, match="options has changed"):
        mien.video.analysis.VideoAnalysis(video, Analyzer(model, threads=1), log=again, resume=True)


@pytest.fixture(scope="module")
def study(blink: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a baseline of 0.2 s, in which the lids are open."""
    out = tmp_path_factory.mktemp("out") / "study"
    words = ["predict", str(blink), "--model", str(model), "--movements", "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--bin", "0.1s", "--baseline", "0s-0.15s", "--export", "long"])
    assert done.exit_code == 0, done.output
    return out


@pytest.mark.parametrize("table", ["frames", "people", "intervals"])
def test_a_study_describes_every_column(study: Path, table: str) -> None:
    rows = pd.read_parquet(study / f"{table}.parquet")
    described = json.loads((study / "study.json").read_text(encoding="utf-8"))["tables"][table]
    assert list(described) == list(rows.columns)
    prefix = "" if table == "frames" else "mean_"
    assert {f"{prefix}{name}" for name in NAMES} | {f"{prefix}delta_{name}" for name in NAMES} <= {*described}
    assert described[f"{prefix}head_yaw"]["unit"] == "degree"
    for name in NAMES:
        low, high = described[f"{prefix}{name}"]["range"]
        values = rows[f"{prefix}{name}"].dropna()
        assert len(values)
        assert low is None or (values >= low).all()
        assert high is None or (values <= high).all()


def test_means_of_people_and_intervals_are_those_of_the_frames(study: Path) -> None:
    """The oracle is pandas, on the frames: all last equally long. Degrees have one decimal there."""
    frames, people = pd.read_csv(study / "frames.csv"), pd.read_csv(study / "people.csv")
    intervals = pd.read_csv(study / "intervals.csv")
    rest = frames[frames["time_s"] < 0.15]
    for name in NAMES:
        of = {"abs": 0.06 if name.startswith(("head", "gaze_y", "gaze_p")) else 2e-4}
        assert people[f"mean_{name}"][0] == pytest.approx(frames[name].mean(), **of)
        assert people[f"sd_{name}"][0] == pytest.approx(frames[name].std(ddof=0), **of)
        change = frames[name].mean() - rest[name].mean()
        assert people[f"mean_delta_{name}"][0] == pytest.approx(change, abs=2 * of["abs"])
    closed = intervals["mean_blink_left"].idxmax()
    within = frames["time_s"].between(intervals["start_s"][closed], intervals["end_s"][closed])
    assert intervals["mean_blink_left"][closed] > 0.05 > intervals["mean_blink_left"].min()
    assert frames["blink_left"][within].max() >= intervals["mean_blink_left"][closed]
    long = pd.read_csv(study / "blink" / "long.csv")
    assert {*NAMES, *(f"delta_{name}" for name in NAMES)} <= set(long["measure"])


def test_a_frame_without_landmarks_does_not_count_in_the_means_of_movements(
    results: tuple[list[FrameResult], Path],
) -> None:
    """Nor do they become missing: the oracle is numpy on the frames that have them."""
    whole = results[0]
    holes = [
        replace(it, faces=tuple(replace(f, face=replace(f.face, movements=None)) for f in it.faces))
        if number in (0, 5, 13)
        else it
        for number, it in enumerate(whole)
    ]
    measures = Measures(Head("fer2013", FER2013), movements=True)
    people, nobody = PeopleTable("blink.mp4", measures), PeopleTable("blink.mp4", measures)
    for result in holes:
        people.write(result, 0.04)
    nobody.write(holes[0], 0.04)
    kept = [it.faces[0].face.movements for it in holes if it.faces[0].face.movements is not None]
    assert len(kept) == 11
    (row,) = people.rows()
    for name in ("head_pitch", "blink_left", "gaze_x"):
        values = np.array([getattr(each, name) for each in kept])
        assert row[f"mean_{name}"] == pytest.approx(values.mean(), abs=1e-6)
        assert row[f"sd_{name}"] == pytest.approx(values.std(), abs=1e-6)
    happy = [it.faces[0].face.emotions["happy"] for it in whole]
    assert row["mean_happy"] == pytest.approx(np.mean(happy), abs=1e-6)
    (row,) = nobody.rows()
    assert row["mean_head_pitch"] is row["sd_head_pitch"] is None
    assert row["mean_happy"] is not None


def test_a_data_set_is_not_continued_without_them(model: Path, tmp_path: Path) -> None:
    options = ReadOptions(str(model), movements=True)
    read_images([str(PHOTO)], tmp_path, options, workers=1)
    images = pd.read_csv(tmp_path / "images.csv")
    assert abs(images["head_yaw"].iloc[0]) < 5
    with pytest.raises(UsageError, match="movements is True there, False now"):
        read_images([str(PHOTO)], tmp_path, replace(options, movements=False), workers=1)


def test_the_function_for_data_frames_has_them(model: Path) -> None:
    columns = mien.batch.udf(str(model), movements=True)([PHOTO, None])
    assert abs(columns["head_yaw"][0]) < 5
    assert np.isnan(columns["head_yaw"][1])
