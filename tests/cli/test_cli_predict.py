from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.cli.app import main
from mien.emotions import ABSTAIN, FER2013, FERPLUS, VOTES
from mien.inference.analyzer import Analyzer
from mien.models.card import Head
from mien.testing.fakes import banded_face, write_band_model

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


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    path = tmp_path / "nobody.png"
    Image.new("RGB", (320, 240), "gray").save(path)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"this is no picture")
    return path


def test_people_get_a_table_with_the_photo_the_face_and_its_expression(predict: Predict) -> None:
    done = predict(PHOTO)
    said = json.loads(predict(PHOTO, "--json").out)["results"][0]["faces"][0]["top"]
    assert done.code == 0
    assert "astronaut.jpg" in done.out
    assert said in done.out
    assert "1 image, 1 face" in done.out


def test_json_says_what_the_library_says(predict: Predict, model: Path) -> None:
    document = json.loads(predict(PHOTO, "--json").out)
    (face,) = Analyzer(model, threads=1).analyze(PHOTO)
    assert document["model"] == "bands"
    assert document["errors"] == []
    (result,) = document["results"]
    assert (result["source"], result["width"], result["height"]) == (str(PHOTO), 512, 512)
    assert result["faces"] == [json.loads(json.dumps(face.to_dict()))]
    assert result["faces"][0]["emotions"] == face.emotions


def test_one_unreadable_file_is_reported_and_the_rest_go_on(
    predict: Predict, broken: Path, nobody: Path
) -> None:
    done = predict(PHOTO, broken, nobody, "--json")
    document = json.loads(done.out)
    assert done.code == 5
    assert [len(result["faces"]) for result in document["results"]] == [1, 0]
    assert [error["source"] for error in document["errors"]] == [str(broken)]
    assert str(broken) in done.err


def test_a_source_that_is_not_there_is_reported_and_the_rest_go_on(predict: Predict, tmp_path: Path) -> None:
    done = predict(tmp_path / "absent.jpg", PHOTO, "--json")
    document = json.loads(done.out)
    assert done.code == 5
    assert len(document["results"]) == 1
    assert "absent.jpg" in document["errors"][0]["error"]


def test_a_picture_without_faces_is_a_result(predict: Predict, nobody: Path) -> None:
    done = predict(nobody)
    assert done.code == 0
    assert "no face found" in done.out


def test_a_picture_named_twice_is_read_once(predict: Predict) -> None:
    assert len(json.loads(predict(PHOTO, PHOTO, "--json").out)["results"]) == 1


def test_a_dash_reads_the_photo_from_standard_input(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PHOTO.read_bytes())))
    done = predict("-", "--json", "--save", tmp_path / "saved")
    (result,) = json.loads(done.out)["results"]
    assert (result["source"], len(result["faces"])) == ("-", 1)
    assert (tmp_path / "saved" / "stdin.png").is_file()


def test_folders_and_globs_are_searched(predict: Predict, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    for source in (tmp_path, tmp_path / "*.png"):
        names = [Path(r["source"]).name for r in json.loads(predict(source, "--json").out)["results"]]
        assert names == ["a.png", "b.png"]


def test_json_lines_are_one_picture_each(predict: Predict, nobody: Path, broken: Path) -> None:
    done = predict(PHOTO, broken, nobody, "--jsonl")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [Path(line["source"]).name for line in lines] == ["astronaut.jpg", "broken.jpg", "nobody.png"]


def test_csv_holds_the_emotions_of_the_head(predict: Predict) -> None:
    (row,) = csv.DictReader(io.StringIO(predict(PHOTO, "--csv", "--labels", "ferplus").out))
    assert sum(float(row[name]) for name in FERPLUS) == pytest.approx(1)
    assert 0 < float(row["unknown"]) < 1


@pytest.mark.parametrize(("labels", "emotions"), [("fer2013", FER2013), ("ferplus", FERPLUS)])
def test_labels_choose_the_head(predict: Predict, labels: str, emotions: tuple[str, ...]) -> None:
    document = json.loads(predict(PHOTO, "--json", "--labels", labels).out)
    assert tuple(document["results"][0]["faces"][0]["emotions"]) == emotions


def test_labels_that_the_model_does_not_have_are_a_model_error(predict: Predict, tmp_path: Path) -> None:
    seven = write_band_model(tmp_path, name="seven")
    done = predict(PHOTO, "--model", seven, "--labels", "ferplus")
    assert done.code == 6
    assert "no head 'votes'" in done.err


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_out_takes_its_format_from_its_name_and_leaves_the_table_on_stdout(
    predict: Predict, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"faces{suffix}"
    done = predict(PHOTO, "--out", out)
    assert "1 image, 1 face" in done.out
    assert out.read_text() == predict(PHOTO, f"--{suffix[1:]}").out


def test_out_does_not_overwrite_unless_told(predict: Predict, tmp_path: Path) -> None:
    out = tmp_path / "faces.json"
    out.write_text("precious")
    done = predict(PHOTO, "--out", out)
    assert done.code == 2
    assert "--overwrite" in done.err
    assert out.read_text() == "precious"
    assert predict(PHOTO, "--out", out, "--overwrite").code == 0
    assert json.loads(out.read_text())["results"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "--csv"], "exclude each other"),
        (["--out", "faces.txt"], "suffix"),
        (["--out", ""], "--out is empty"),
        (["--crops", "--align"], "--align"),
        (["--crops", "--detector-threshold", "0.3"], "--detector-threshold"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_options_that_do_not_fit_are_refused(predict: Predict, arguments: list[str], said: str) -> None:
    done = predict(PHOTO, *arguments)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""


def test_annotated_pictures_are_saved_without_collisions(predict: Predict, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(PHOTO, tmp_path / folder / "face.jpg")
    shutil.copy(PHOTO, tmp_path / "b" / "FACE.JPEG")
    saved = tmp_path / "saved"
    assert predict(tmp_path / "a", tmp_path / "b", "--save", saved).code == 0
    names = sorted(path.name.casefold() for path in saved.iterdir())
    assert names == ["face-2.jpg", "face-3.jpg", "face.jpg"]
    before = np.asarray(Image.open(PHOTO))
    for path in saved.iterdir():
        with Image.open(path) as picture:
            assert (np.abs(np.asarray(picture).astype(int) - before) > 100).any()


def test_saving_into_the_pictures_own_folder_keeps_the_picture(predict: Predict, tmp_path: Path) -> None:
    mine = tmp_path / "face.jpg"
    shutil.copy(PHOTO, mine)
    done = predict(mine, "--save", tmp_path)
    assert mine.read_bytes() == PHOTO.read_bytes()
    assert (tmp_path / "face-2.jpg").exists()
    assert "face-2.jpg" in done.err


def test_a_second_run_replaces_what_it_saved_only_when_told(predict: Predict, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    predict(PHOTO, "--save", saved)
    predict(PHOTO, "--save", saved, "--overwrite")
    assert [path.name for path in saved.iterdir()] == ["astronaut.jpg"]
    predict(PHOTO, "--save", saved)
    assert len(list(saved.iterdir())) == 2


def test_nothing_of_the_photo_but_its_pixels_is_saved(predict: Predict, tmp_path: Path) -> None:
    placed = tmp_path / "placed.jpg"
    with Image.open(PHOTO) as picture:
        exif = picture.getexif()
        exif[0x010F] = "a camera"
        picture.save(placed, exif=exif)
    predict(placed, "--save", tmp_path / "saved")
    with Image.open(tmp_path / "saved" / "placed.jpg") as picture:
        assert not picture.getexif()


@pytest.mark.parametrize("label", range(7))
def test_crops_treats_the_image_as_one_face(predict: Predict, tmp_path: Path, label: int) -> None:
    Image.fromarray(banded_face(label, 7)).save(tmp_path / "face.png")
    document = json.loads(predict(tmp_path / "face.png", "--crops", "--json").out)
    (face,) = document["results"][0]["faces"]
    assert face["top"] == FER2013[label]
    assert face["box"] == [0, 0, 48, 48]
    assert face["confidence"] is None


def test_a_threshold_nobody_reaches_finds_nobody(predict: Predict) -> None:
    document = json.loads(predict(PHOTO, "--detector-threshold", "1", "--json").out)
    assert document["results"][0]["faces"] == []


def test_the_help_names_the_exit_code_of_unreadable_pictures(predict: Predict) -> None:
    assert "exit code is 5 then" in " ".join(predict("--help").out.split())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE and no EPIPE")
def test_a_reader_that_has_seen_enough_ends_the_run_quietly(model: Path, tmp_path: Path) -> None:
    """`mien predict folder --jsonl | head -1` once ended in the traceback of a generator that a worker
    thread was left to clean up."""
    for i in range(8):
        shutil.copy(PHOTO, tmp_path / f"{i}.jpg")
    command = [
        sys.executable,
        "-m",
        "mien.cli.app",
        "predict",
        str(tmp_path),
        "--jsonl",
        "--model",
        str(model),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["faces"]
        running.stdout.close()
        assert "Traceback" not in running.stderr.read()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
@pytest.mark.parametrize("form", ["--json", "--csv", "--overwrite"], ids=["json", "csv", "table"])
def test_a_name_that_is_not_unicode_is_read_and_printed(model: Path, tmp_path: Path, form: str) -> None:
    """A lone byte 0xff in a file's name once ended the table in a UnicodeEncodeError."""
    shutil.copy(PHOTO, os.fsencode(tmp_path / "face") + b"\xff.jpg")
    command = [sys.executable, "-m", "mien.cli.app", "predict", str(tmp_path), form, "--model", str(model)]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=strict, check=False)
    assert done.returncode == 0, done.stderr
    assert b"face" in done.stdout
