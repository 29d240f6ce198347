"""The README does what it says: its Python runs, its commands run, its two commands exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from mien.cli.app import app

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


# What is needed beyond the base install is said in the line.
EXTRAS = {"live": "serve", "train": "train", "explain": "train"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a newcomer has: the examples of the repository, and nothing else."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_python_in_the_readme_runs(code: str, clone: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


MIEN = [command for command in COMMANDS if command.startswith("mien ")]


@pytest.mark.parametrize("command", [c for c in MIEN if not c.startswith(PARSED_ONLY)])
def test_a_command_in_the_readme_runs(command: str, clone: Path) -> None:
    words = shlex.split(command.split(" > ")[0])[1:]
    done = subprocess.run(
        [sys.executable, "-m", "mien.cli.app", *words], cwd=clone, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in MIEN if c.startswith(PARSED_ONLY)])
def test_a_long_command_in_the_readme_has_options_that_exist(command: str) -> None:
    verb, *words = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    parser = group.commands[verb]  # type: ignore[attr-defined]
    assert parser.make_context(verb, words) is not None


@pytest.mark.parametrize("command", MIEN)
def test_a_command_in_the_readme_names_the_extra_that_it_needs(command: str) -> None:
    (line,) = (text for text in README.splitlines() if text.startswith(f"$ {command}"))
    extra = EXTRAS.get(command.split()[1])
    assert re.findall(r"\[(\w+)\]", line) == ([extra] if extra else [])


def test_the_readme_has_about_six_commands_and_six_lines_of_python() -> None:
    """It is read in two minutes; the guides have the rest."""
    (code,) = (text for kind, text in BLOCKS if kind == "python")
    assert len(MIEN) == 6
    assert len(code.splitlines()) <= 6


def test_the_install_of_today_is_from_a_clone() -> None:
    """The package is not on an index yet, so nothing tells a newcomer to fetch it from one."""
    commands = [command for command in COMMANDS if command.startswith("pip ")]
    assert commands[0] == "pip install ."
    assert all(re.fullmatch(r"pip install '?\.(\[\w+\]')?", command) for command in commands)


def test_the_two_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in ("make demo", "make test"):
        assert command in COMMANDS
        assert re.search(rf"^{command.removeprefix('make ')}:", makefile, flags=re.MULTILINE)


def test_the_readme_shows_a_picture_in_its_first_screen() -> None:
    picture = re.search(r'src="([^"]+)"', "\n".join(README.splitlines()[:20]))
    assert picture is not None
    assert (ROOT / picture.group(1)).is_file()
