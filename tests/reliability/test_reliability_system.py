"""Errors of the operating system: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien import errors
from mien.cli.app import main
from mien.inference.image_writer import AnnotatedFolder

MAIN = "from mien.cli.app import main; main()"
# Root may enter any folder, unless it gives up these two rights.
WITHOUT_RIGHTS = (
    ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if getattr(os, "geteuid", lambda: 1)() == 0
    else []
)


def _run(*command: str, before: Sequence[str] = (), **options: Any) -> tuple[int, str]:
    environment = {**os.environ, **options.pop("env", {})}
    ran = subprocess.run(
        [*before, sys.executable, "-c", MAIN, *command],
        stdout=options.pop("stdout", subprocess.DEVNULL),
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return ran.returncode, ran.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "/x/out.json"), "/x/out.json: the disk is full"),
        (PermissionError(13, "Permission denied", "/x"), "/x: no permission"),
        (OSError(36, "File name too long", "y" * 10_000), "File name too long"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "cannot be decoded"),
        (MemoryError(), "memory"),
    ],
)
def test_an_error_that_nobody_expected_is_a_sentence_and_exit_code_1(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("mien.cli.app.app", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().err
    assert ended.value.code == errors.MienError.exit_code
    assert said in printed
    assert len(printed) < 5000


def test_a_message_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise errors.DataError("a\x1b]0;title\x07")

    monkeypatch.setattr("mien.cli.app.app", fail)
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "error: a\\x1b]0;title\\x07\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_a_sentence_and_an_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        code, said = _run("--help", stdout=full)
    assert (code, said.count("\n")) == (1, 1)
    assert "the disk is full" in said


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_closed_output_is_a_sentence_and_an_exit_code() -> None:
    line = f'exec "{sys.executable}" -c "from mien.cli.app import main; main()" --help >&-'
    ran = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True)
    assert (ran.returncode, ran.stderr[:24]) == (1, "error: stdout is closed.")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_tables_print_in_any_encoding(encoding: str) -> None:
    code, said = _run("--help", env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert (code, said) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.skipif(
    bool(WITHOUT_RIGHTS) and shutil.which("setpriv") is None,
    reason="root without setpriv may enter any folder",
)
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("predict {}/x.jpg", 5),
        ("predict {}/x.mp4", 5),
        ("predict {}", 5),
        ("data info {}/x.csv", 3),
        ("data info {}", 3),
        ("train --data synthetic --out {}/run", 2),
        ("evaluate --model {}/x.onnx --data synthetic", 2),
    ],
)
def test_a_folder_that_may_not_be_entered_is_a_sentence_and_the_exit_code_of_its_kind(
    tmp_path: Path, command: str, code: int
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    ended, said = _run(*command.format(folder).split(), before=WITHOUT_RIGHTS)
    folder.chmod(0o700)
    assert "Traceback" not in said
    assert said.lstrip().startswith("error: ")
    assert ended == code, said


def test_half_an_image_does_not_stay_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Image.Image, file: Any, *__: object, **___: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    image = np.zeros((40, 40, 3), np.uint8)
    folder = AnnotatedFolder(tmp_path)
    whole = folder.save(image, [], "whole.png")
    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(errors.UsageError, match="No space left"):
        folder.save(image, [], "half.png")
    assert [path.name for path in tmp_path.iterdir()] == [whole.name]
