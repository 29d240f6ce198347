"""The pages do what they say: their commands have options that exist, and their Python runs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from mien.cli.app import app
from mien.data.synthetic.faces import faces
from mien.emotions import FERPLUS_COLUMNS, VOTES
from mien.testing.clips import Actor, play, write_clip

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_HISTORY = ("log.md", "changelog.md")


def _blocks(page: Path, *kinds: str) -> list[str]:
    """The code blocks of these kinds; '' is a block that names none, or one that is indented."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^    \S.*\n)+", text, flags=re.MULTILINE)
    return [code for kind, code in found if kind in kinds] + (indented if "" in kinds else [])


def _commands(page: Path) -> list[str]:
    """The lines of a page that call `mien`, without comments, pipes and redirections."""
    lines = "\n".join(_blocks(page, "", "console")).replace("\\\n", " ").splitlines()
    calls = [re.split(r"\s#\s| > | \| ", line.strip().removeprefix("$ "))[0].strip() for line in lines]
    return [
        re.sub(r"^torchrun .* -m mien\.cli\.app", "mien", call) for call in calls if " mien" in f" {call}"
    ]


COMMANDS = [
    (page.relative_to(ROOT).as_posix(), call)
    for page in PAGES
    if page.name not in _HISTORY
    for call in _commands(page)
    if re.match(r"mien (?!predicts)[-a-z]+( |$)", call)
]


@pytest.mark.parametrize(("page", "call"), COMMANDS, ids=[f"{page}: {call}" for page, call in COMMANDS])
def test_a_command_in_a_page_has_options_that_exist(page: str, call: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(call)[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    assert command.make_context("mien", words, resilient_parsing=not words) is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the guides name. FER2013's rows and the clip's face are drawn."""
    folder = tmp_path_factory.mktemp("guides")
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copy(ROOT / "examples" / "astronaut.jpg", folder / "photo.jpg")
    for ending in ("onnx", "json"):
        shutil.copy(ROOT / f"src/mien/models/weights/mien-tiny.{ending}", folder)
    table = faces(70)
    table.pixels[0].tofile(folder / "face.gray")
    rows = ["emotion,pixels,Usage"]
    for label, face, split in zip(table.labels, table.pixels, table.splits, strict=True):
        rows.append(f"{label},{' '.join(map(str, face.ravel()))},{split}")
    (folder / "fer2013.csv").write_text("\n".join(rows) + "\n")
    assert table.votes is not None
    order = [VOTES.index(FERPLUS_COLUMNS[name]) for name in FERPLUS_COLUMNS]
    lines = [",".join(["Usage", "Image name", *FERPLUS_COLUMNS])]
    for i, (split, votes) in enumerate(zip(table.splits, np.asarray(table.votes)[:, order], strict=True)):
        lines.append(",".join([split, f"fer{i:07d}.png", *map(str, votes)]))
    (folder / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    actor = Actor(np.repeat(table.pixels[0][:, :, None], 3, 2), lambda second: (320 + 40 * second, 180, 200))
    write_clip(folder / "clip.mp4", play([actor], 1.0, rate=10), rate=10)
    return folder


def _run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)


FER2013 = [
    call for page, call in COMMANDS
    if page.startswith("docs/guides/") and re.match(r"mien (data info|audit|study|evaluate|explore)", call)
    and "runs/" not in call and "sample/" not in call
]  # fmt: skip


@pytest.mark.parametrize("call", sorted(set(FER2013)))
def test_a_command_of_the_guides_runs(call: str, folder: Path) -> None:
    done = _run(["-m", "mien.cli.app", *shlex.split(call)[1:]], folder)
    assert done.returncode == 0, done.stderr


# A camera, a server, a training run, or a part of a longer program.
_NEEDS_MORE = ("mien.live(", "websockets", "runs/", "predictions.")
PYTHON = [
    (page.relative_to(ROOT).as_posix(), code)
    for page in PAGES
    if page.name not in ("README.md", *_HISTORY)
    for code in _blocks(page, "python")
]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[f"{page} {i}" for i, (page, _) in enumerate(PYTHON)])
def test_python_in_a_page_runs(page: str, code: str, folder: Path) -> None:
    compile(code, page, "exec")
    if not any(word in code for word in _NEEDS_MORE):
        done = _run(["-c", code], folder)
        assert done.returncode == 0, done.stderr
