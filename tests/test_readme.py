"""The README does what it says: its Python runs, its commands run, its two commands exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main

from mien.cli.app import app
from mien.data.synthetic.faces import faces
from mien.emotions import FERPLUS_COLUMNS, VOTES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
    if line.startswith("$ ")
]
# These take minutes, a camera or a browser; they are parsed, not run.
PARSED_ONLY = ("mien train", "mien export", "mien live", "mien serve", "mien predict clip")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README speaks of; FER2013's rows are drawn."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "photos").mkdir()
    shutil.copy(ROOT / "examples" / "astronaut.jpg", folder / "photos")
    table = faces(70)
    rows = ["emotion,pixels,Usage"]
    for label, face, split in zip(table.labels, table.pixels, table.splits, strict=True):
        rows.append(f"{label},{' '.join(map(str, face.ravel()))},{split}")
    (folder / "fer2013.csv").write_text("\n".join(rows) + "\n")
    assert table.votes is not None
    theirs = list(FERPLUS_COLUMNS)
    order = [VOTES.index(FERPLUS_COLUMNS[name]) for name in theirs]
    lines = [",".join(["Usage", "Image name", *theirs])]
    for i, (split, votes) in enumerate(zip(table.splits, np.asarray(table.votes)[:, order], strict=True)):
        lines.append(",".join([split, f"fer{i:07d}.png", *map(str, votes)]))
    (folder / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_python_in_the_readme_runs(code: str, place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


MIEN = [command for command in COMMANDS if command.startswith("mien ")]


@pytest.mark.parametrize("command", [c for c in MIEN if not c.startswith(PARSED_ONLY)])
def test_a_command_in_the_readme_runs(command: str, place: Path) -> None:
    words = shlex.split(command.split(" > ")[0])[1:]
    done = subprocess.run(
        [sys.executable, "-m", "mien.cli.app", *words], cwd=place, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in MIEN if c.startswith(PARSED_ONLY)])
def test_a_long_command_in_the_readme_has_options_that_exist(command: str) -> None:
    verb, *words = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    parser = group.commands[verb]  # type: ignore[attr-defined]
    assert parser.make_context(verb, words) is not None


def test_the_two_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in ("make demo", "make test"):
        assert command in COMMANDS
        assert re.search(rf"^{command.removeprefix('make ')}:", makefile, flags=re.MULTILINE)


def test_the_readme_shows_a_picture_in_its_first_screen() -> None:
    picture = re.search(r'src="([^"]+)"', "\n".join(README.splitlines()[:20]))
    assert picture is not None
    assert (ROOT / picture.group(1)).is_file()
