"""Paths, permissions, encodings and environments made to refuse: commands run as another user.

Each case is one command in a forked process. `hostile_corpus.json` holds the cases that failed once; the
others are random, from a seed. ``MIEN_SOAK=1200`` runs 1,200 of them.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.data.synthetic.faces import faces
from mien.emotions import FER2013
from mien.testing.clips import write_clip

if sys.platform == "win32":
    pytest.skip("Windows has other users and permissions", allow_module_level=True)

import hostile_user

HERE = Path(__file__).parent
PHOTO = HERE.parents[1] / "examples" / "astronaut.jpg"
CORPUS = json.loads((HERE / "hostile_corpus.json").read_text(encoding="utf-8"))
SEED = int(os.environ.get("MIEN_SEED", "14"))
SOAK = int(os.environ.get("MIEN_SOAK", "0"))
RANDOM = SOAK or 12

# Names that a file may have, and that something trips over.
NAMES = [
    "a\nb",
    "a\rb",
    "\x1b[31mred\x1b[0m",
    "caf\udce9",  # bytes that are not UTF-8
    "12:30",
    "C:x",
    "-dash",
    "--out",
    "[red]markup",
    "%s{0}",
    "~$office",
    "~nobody-of-this-name",
    "=cmd",
    "\u202egpj",
    "0.5s",
    " ",
    "'\"",
    "#?&",
    "a,b;c",
    "$\\frac$",
    "顔",
]
# What the name of a source leads to. "*" is the name of a photo, a clip or data.
SOURCES = [
    "{}/inputs/*",
    "{}/closed/*",
    "{}/closed",
    "{}/unlisted/*",
    "{}/unlisted",
    "{}/secret/*",
    "{}/inputs/photo.jpg/*",
    "{}/loop/*",
    "{}/{long}/*",
    "{}/{long}.*",
    "{}/{wide}.*",
    "{base64}",
    "{}/{deep}*",
    "{}/dangling",
    "{}/missing/*",
    "{}/empty",
    "/dev/null",
    "*",
    "~nobody-of-this-name/*",
]
TARGETS = [
    "{}/work/x*",
    "{}/work/new/x*",
    "{}/closed/x*",
    "{}/readonly/x*",
    "{}/readonly/new/x*",
    "{}/inputs/photo.jpg/x*",
    "{}/inputs*",
    "{}/{long}*",
    "{}/work/{wide}*",
    "{base64}*",
    "{}/loop/x*",
    "{}/dangling*",
    "/dev/full",
    "/proc/x*",
    "",
    "~nobody-of-this-name/x*",
]
# Commands: S is a source of the kind behind it, T a target with the suffix behind it.
FACES = ["--data", "{}/inputs/data", "--split", "test", "--bootstrap", "9"]
# These take seconds where nothing refuses, so that only what is sure to refuse is tried.
SLOW = ("audit", "explain", "explore", "page", "study", "train", "verify")
WITH_TORCH = ("explain", "export", "report", "train")  # its import takes longer than all other cases
COMMANDS = [
    ["predict", "S:photo.jpg"],
    ["predict", "S:photo.jpg", "--json"],
    ["predict", "S:photo.jpg", "S:photo.jpg", "--csv"],
    ["predict", "S:photo.jpg", "--out", "T:.json"],
    ["predict", "S:photo.jpg", "--out", "T:.csv"],
    ["predict", "S:photo.jpg", "--out", "T:/"],
    ["predict", "S:photo.jpg", "--save", "T:"],
    ["predict", "S:clip.mp4"],
    ["predict", "S:clip.mp4", "--out", "T:.csv"],
    ["predict", "S:clip.mp4", "--out", "T:/"],
    ["predict", "S:clip.mp4", "--save", "T:"],
    ["predict", "S:photos"],
    ["predict", "S:photo.jpg", "--model", "S:model.onnx"],
    ["data", "info", "S:data"],
    ["data", "info", "S:faces.csv"],
    ["data", "info", "S:data", "--votes", "S:votes.csv"],
    ["data", "convert", "S:data", "T:.parquet"],
    ["explore", "--data", "S:data", "--out", "T:"],
    ["audit", "--data", "S:data", "--out", "T:"],
    ["train", "--data", "S:data", "--out", "T:", "--set", "schedule.epochs=0"],
    ["train", "--data", "synthetic", "--out", "T:", "--set", "schedule.epochs=0"],
    ["train", "S:recipe.toml", "--data", "synthetic", "--set", "schedule.epochs=0", "--out", "T:"],
    ["train", "--resume", "S:run"],
    ["evaluate", "--data", "S:data", "--split", "test", "--bootstrap", "9"],
    ["evaluate", *FACES, "--json", "T:.json"],
    ["evaluate", *FACES, "--predictions", "T:.csv"],
    ["evaluate", *FACES, "--groups", "S:faces.csv"],
    ["evaluate", *FACES, "--model", "S:model.onnx"],
    ["compare", "mien-tiny", "S:model.onnx", "--data", "{}/inputs/data", "--split", "test"],
    ["explain", "S:photo.jpg", "--model", "mien-tiny", "--out", "T:"],
    ["export", "S:run"],
    ["export", "S:run", "--out", "T:.onnx"],
    ["study", "--data", "S:data", "--split", "test", "--model", "mien-tiny", "--out", "T:"],
    ["report", "S:run", "--out", "T:"],
    ["verify", "--data", "S:data"],
    ["page", "--out", "T:"],
    ["page", "--model", "S:model.onnx", "--out", "T:"],
    ["view", "S:study", "--no-browser"],
    ["batch", "status", "S:study"],
    ["batch", "merge", "S:study"],
    ["serve", "--certificate", "S:x.pem", "--certificate-key", "S:x.pem"],
    ["serve", "--api-key-file", "S:x.pem"],
    ["models"],
    ["models", "--backbones"],
    ["doctor"],
    ["doctor", "--json"],
    ["--version"],
]
ENVIRONMENTS: list[dict[str, Any]] = [
    {},
    {"env": {"HOME": None}},
    {"env": {"HOME": None}, "user": hostile_user.WITHOUT_NAME},
    {"env": {"HOME": "{}/closed"}},
    {"env": {"HOME": "{}/closed", "MIEN_CACHE": None}},
    {"env": {"HOME": None, "MIEN_CACHE": None}, "user": hostile_user.WITHOUT_NAME},
    {"env": {"MIEN_CACHE": "{}/readonly/cache"}},
    {"env": {"MIEN_CACHE": "{}/inputs/photo.jpg"}},
    {"env": {"MIEN_CACHE": "~nobody-of-this-name/cache"}},
    {"env": {"TMPDIR": "{}/missing"}},
    {"no_temporary_folder": True},
]
# Where other users may not read the interpreter itself, root gives up its right to enter any folder instead.
WITHOUT_RIGHTS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
BEFORE = WITHOUT_RIGHTS if os.geteuid() == 0 and not hostile_user.readable_by_others(os.__file__) else []
# Once, and not in each process again.
IMPORTS = [
    *(
        "mien.cli.app",
        "mien.cli.doctor.machine",
        "mien.video.batch",
        "mien.reports.evaluation",
        "mien.serve.app",
    ),
    *("av", "matplotlib.backends.backend_agg", "onnxruntime", "pandas", "pyarrow.parquet"),
]
STREAMS = ["utf-8", "cp1252", "ascii", "closed", "full"]


def cases(n: int) -> list[dict[str, Any]]:
    """Random cases: most are harmless but for one thing, so that it is that which is told."""
    choose = random.Random(SEED)
    sources = [*SOURCES, *(f"{{}}/names/{name}/*" for name in NAMES), *(f"{name}." for name in NAMES)]
    targets = [*TARGETS, *(f"{{}}/work/{name}*" for name in NAMES)]
    made = []
    commands = [command for command in COMMANDS if SOAK or command[0] not in WITH_TORCH]
    for _ in range(n):
        command = list(choose.choice(commands))
        slow = command[0] in SLOW
        places = [i for i, word in enumerate(command) if word[:2] in ("S:", "T:")]
        hostile = {choose.choice(places)} if places and (slow or choose.random() < 0.85) else set()
        for i in places:
            kind, _, name = command[i].partition(":")
            if kind == "S":
                place = choose.choice(SOURCES[1:] if slow else sources) if i in hostile else sources[0]
            else:
                place = choose.choice(TARGETS[2:] if slow else targets) if i in hostile else targets[0]
            place = place.removesuffix(".") + Path(name).suffix if place.endswith(".") else place
            command[i] = place.replace("*", name)
        case: dict[str, Any] = {"command": command}
        if choose.random() < 0.3 or not hostile:
            case |= choose.choice(ENVIRONMENTS)
        if choose.random() < 0.3 or not hostile:
            case["stdout"] = choose.choice(STREAMS)
        made.append(case)
    return made


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    """A folder that another user may enter, with inputs, and places that refuse."""
    root = Path(tempfile.mkdtemp(prefix="mien-hostile-"))
    inputs = root / "inputs"
    inputs.mkdir()
    with Image.open(PHOTO) as photo:
        small = photo.convert("RGB").resize((160, 160))
    small.save(inputs / "photo.jpg")
    write_clip(inputs / "clip.mp4", [np.asarray(small)] * 2, rate=2)
    table = faces(28, seed=2)
    for i, (label, face) in enumerate(zip(table.labels, table.pixels, strict=True)):
        place = inputs / "data" / ("train", "test")[i // 7 % 2] / FER2013[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(place / f"{i}.png")
    rows = [
        f"{label},{' '.join(map(str, face.ravel()))},Training"
        for label, face in zip(table.labels[:3], table.pixels[:3], strict=True)
    ]
    (inputs / "faces.csv").write_text("\n".join(["emotion,pixels,Usage", *rows, ""]))
    (inputs / "photos").mkdir()
    shutil.copy(inputs / "photo.jpg", inputs / "photos")
    (inputs / "x.pem").write_text("x")
    for name in ("closed", "unlisted", "secret"):
        shutil.copytree(inputs, root / name)
    for name in NAMES:
        (root / "names" / name).mkdir(parents=True)
        for path in ("photo.jpg", "clip.mp4", "faces.csv"):
            os.link(inputs / path, root / "names" / name / path)
        (root / "names" / name / "data").symlink_to(inputs / "data")
    for path in (root / "secret").rglob("*"):
        path.chmod(0o000 if path.is_file() else 0o711)
    for name in ("work", "home", "cache", "empty", "readonly"):
        (root / name).mkdir()
    for name in NAMES:
        for suffix in (".jpg", ".mp4", ".csv"):
            os.link(
                inputs / {".jpg": "photo.jpg", ".mp4": "clip.mp4", ".csv": "faces.csv"}[suffix],
                root / "work" / f"{name}{suffix}",
            )
    (root / "loop").symlink_to(root / "loop")
    (root / "dangling").symlink_to(root / "nothing")
    if os.geteuid() == 0:
        for name in ("work", "home", "cache"):
            (root / name).chmod(0o777)
    for name, mode in (("closed", 0), ("unlisted", 0o311), ("readonly", 0o555), (".", 0o755)):
        (root / name).chmod(mode)
    yield str(root)
    for name in ("closed", "unlisted", "readonly"):
        (root / name).chmod(0o755)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def run(folder: str) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Runs cases, one forked process each."""

    def results(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        imports = IMPORTS + (["torch", "torchvision", "timm", "sklearn.metrics"] if SOAK else [])
        ran = subprocess.run(
            [*BEFORE, sys.executable, hostile_user.__file__, folder],
            input=json.dumps({"imports": imports, "cases": cases}),
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        return list(json.loads(ran.stdout))

    return results


def faults(case: dict[str, Any], result: dict[str, Any]) -> list[str]:
    """What is wrong with what a command did; empty if nothing is."""
    said, code, found = result["err"], result["code"], []
    if "Traceback" in said or code not in (*range(11), 130, 143):
        found.append(f"exit code {code}, {said[-1500:]}")
    if code and len(said) > 2000:
        found.append(f"{len(said):,} characters: {said[:300]}...")
    if "[Errno" in said:
        found.append(f"a number of the system: {said}")
    if re.search("[\x00-\x09\x0b-\x1f\x7f\x9b]", said + result["out"].replace("\r\n", "\n")):
        found.append(f"control characters: {said!r} {result['out']!r}"[:1500])
    if code and not said.strip() and case["command"][0] != "doctor":
        found.append(f"exit code {code} without a word")
    if result["half_made"]:
        found.append(f"left: {result['half_made']}")
    return found


def check(cases: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
    """Every case went well."""
    wrong = [(case, faults(case, result)) for case, result in zip(cases, results, strict=True)]
    wrong = [(case, problems) for case, problems in wrong if problems]
    assert not wrong, "\n\n".join(f"{json.dumps(case)}\n" + "\n".join(each) for case, each in wrong)


def test_another_user_gets_a_sentence_and_an_exit_code(
    run: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
) -> None:
    made = [*CORPUS, *cases(RANDOM)]
    check(made, run(made))
