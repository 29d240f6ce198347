"""Three commands, as docs/viewer.md has them: from a clip to tables that pandas, R and pympi open."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pympi
import pytest
from PIL import Image

from mien.emotions import ABSTAIN, FER2013, VOTES
from mien.models.card import Head
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model

ROOT = Path(__file__).parents[2]
RATE = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people side by side for 1.5 s; behind a cut, one of them alone."""
    photo = Image.open(ROOT / "examples" / "astronaut.jpg").convert("RGB").crop((130, 0, 330, 260))
    anna = np.asarray(photo)
    other = np.ascontiguousarray(255 - anna[:, ::-1] // 3)  # brighter, and as in a mirror
    both = [Actor(anna, lambda t: (160, 180, 200)), Actor(other, lambda t: (470, 180, 200))]
    alone = [Actor(anna, lambda t: (320, 190, 260))]
    bright = (np.clip(frame.astype(int) + 60, 0, 255).astype(np.uint8) for frame in play(alone, 1, rate=RATE))
    frames = [*play(both, 1.5, rate=RATE), *bright]
    return write_clip(tmp_path_factory.mktemp("clips") / "talk.mp4", frames, rate=RATE)


def mien(folder: Path, *words: object) -> None:
    command = [sys.executable, "-m", "mien.cli.app", *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def correct(folder: Path, entry: dict[str, object]) -> None:
    """What the page sends when a person is renamed, while `mien view` runs."""
    command = [sys.executable, "-m", "mien.cli.app", "view", "study", "--no-browser"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = server.stderr.readline().removeprefix("Page: ").strip()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{address}/v1/corrections", json.dumps(entry).encode(), headers)
        with urlopen(request) as response:
            assert json.load(response)["entries"]
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_predict_view_and_apply_give_tables_that_others_open(clip: Path, tmp_path: Path) -> None:
    """Its time is the start of three processes."""
    model = write_band_model(tmp_path, heads=(Head("fer2013", FER2013), Head("votes", VOTES, ABSTAIN)))
    options = ["--event-threshold", "0.02", "--event-hysteresis", "0.005", "--export", "elan"]
    mien(tmp_path, "predict", clip, "--out", "study/", "--model", model, "--movements", *options)
    before = pd.read_csv(tmp_path / "study" / "people.csv")
    assert len(before) >= 2
    assert before["first_s"].min() == 0
    correct(tmp_path, {"clip": "talk", "kind": "rename", "person": 1, "name": "Anna"})
    mien(tmp_path, "predict", "--apply", "study/corrections.json", "--out", "study/")

    study = tmp_path / "study"
    people = pd.read_parquet(study / "people.parquet")
    assert people["name"][0] == "Anna"
    assert people["name"][1:].isna().all()
    assert people["mean_head_yaw"].abs().max() < 30
    frames = pd.read_csv(study / "frames.csv")
    assert frames["face_id"].nunique() == len(people)
    assert frames["frame"].nunique() == 25
    tiers = pympi.Elan.Eaf(str(study / "talk" / "talk.eaf")).get_tier_names()
    assert any(tier.startswith("Anna: ") for tier in tiers)
    if shutil.which("Rscript"):
        script = ROOT / "docs" / "read_study.R"
        read = ["Rscript", "--vanilla", str(script), "study"]
        said = subprocess.run(read, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert f"people: {len(people)} rows" in said
