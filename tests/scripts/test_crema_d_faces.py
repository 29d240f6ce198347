"""CREMA-D's layout, on made files: votes and demographics become folders of faces and groups."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mien.cli.app import app
from mien.data.sources import load
from mien.errors import FormatError
from mien.testing.clips import write_clip

ROOT = Path(__file__).parents[2]
VOTES = """,FileName,VoiceVote,VoiceLevel,FaceVote,FaceLevel,MultiModalVote,MultiModalLevel
1,1001_DFA_ANG_XX,A,70,A,67.5,A,80
2,1001_DFA_HAP_XX,H,70,H,67.5,H,80
3,1002_DFA_NEU_XX,N,70,N:S,50:50,N,80
4,1002_DFA_SAD_XX,S,70,S,60,S,80
"""
ACTORS = """ActorID,Age,Sex,Race,Ethnicity
1001,51,Male,Caucasian,Not Hispanic
1002,21,Female,African American,Hispanic
"""


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("crema_d_faces", ROOT / "scripts" / "crema_d_faces.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "votes.csv").write_text(VOTES)
    (tmp_path / "actors.csv").write_text(ACTORS)
    clips = tmp_path / "clips"
    clips.mkdir()
    with Image.open(ROOT / "examples" / "astronaut.jpg") as image:
        face = np.asarray(image.convert("RGB").resize((256, 256)))
    for name in ("1001_DFA_ANG_XX", "1001_DFA_HAP_XX", "1002_DFA_NEU_XX", "1002_TIE_FEA_XX"):
        write_clip(clips / f"{name}.mp4", [face] * 3, rate=5)
    write_clip(clips / "1002_DFA_SAD_XX.mp4", [np.full((256, 256, 3), 90, np.uint8)] * 3, rate=5)
    return {"clips": clips, "votes": tmp_path / "votes.csv", "demographics": tmp_path / "actors.csv"}


def test_clips_become_faces_of_the_emotion_that_viewers_saw(
    script: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    counts = script.convert(**files, out=out)
    assert counts == {"face": 2, "tie": 1, "no face": 1, "no votes": 1}
    with (out / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    group = {"age": "50 and older", "sex": "Male", "race": "Caucasian", "ethnicity": "Not Hispanic"}
    assert rows == [{"name": f"1001_DFA_{each}_XX.png", **group} for each in ("ANG", "HAP")]
    table = load(str(out))
    assert table.names is not None
    assert [str(name).rpartition("/")[2] for name in table.names] == [row["name"] for row in rows]
    assert set(table.splits) == {"test"}
    options = ("--data", str(out), "--split", "test", "--groups", str(out / "groups.csv"))
    scores = tmp_path / "scores.json"
    CliRunner().invoke(app, ["evaluate", *options, "--json", str(scores)], catch_exceptions=False)
    assert json.loads(scores.read_text())["groups"]["sex"]["groups"]["Male"]["n"] == 2


def test_other_layouts_are_refused_with_the_line(script: Any, files: dict[str, Path], tmp_path: Path) -> None:
    for name, text, message in (
        ("votes", VOTES.replace("FaceVote", "Face"), "has no column FaceVote"),
        ("votes", VOTES.replace("A,67.5", "X,67.5"), "line 2: FaceVote is 'X'"),
        ("demographics", ACTORS.replace(",21,", ",young,"), "line 3: Age is 'young'"),
        ("demographics", ACTORS.replace("1002,", "1003,"), "actor 1002 is in no line"),
    ):
        changed = tmp_path / "changed.csv"
        changed.write_text(text)
        with pytest.raises(FormatError, match=message):
            script.convert(**{**files, name: changed}, out=tmp_path / "other")
