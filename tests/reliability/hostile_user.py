"""Runs commands of mien as another user, one forked process each, in places made to refuse them.

``python hostile_user.py FOLDER`` reads cases as JSON from stdin and prints the results as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

NOBODY = 65534
WITHOUT_NAME = 54321  # an id that /etc/passwd does not list, as in many containers
_SECONDS = 120

# What stands for itself in a case, so that the corpus stays short.
TOKENS = {
    "{long}": "n" * 300,
    "{wide}": "顔" * 90,  # 270 bytes, 90 characters
    "{base64}": "iVBORw0KGgo/" * 33_000,
    "{deep}": "d/" * 2100,
}


def _path(text: str, folder: str) -> str:
    for token, value in {"{}": folder, **TOKENS}.items():
        text = text.replace(token, value)
    return text


def readable_by_others(path: str) -> bool:
    """Whether a user who is neither the owner nor in the group may read a file."""
    above = all(parent.stat().st_mode & 0o001 for parent in Path(path).resolve().parents)
    return above and bool(Path(path).stat().st_mode & 0o004)


def _become(case: dict[str, Any], folder: str) -> None:
    """Give this process the user, the environment and the folder of the case."""
    environment = {"HOME": folder + "/home", "MIEN_CACHE": folder + "/cache", "COLUMNS": "100"}
    for name, value in case.get("env", {}).items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = _path(value, folder)
    for name in ("HOME", "MIEN_CACHE", "TMPDIR", "COLUMNS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    tempfile.tempdir = None
    if case.get("no_temporary_folder"):
        tempfile._candidate_tempdir_list = lambda: [folder + "/readonly"]  # type: ignore[attr-defined]
    os.chdir(folder + "/work")
    if os.geteuid() == 0 and readable_by_others(os.__file__):
        user = case.get("user", NOBODY)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)


def _open_streams(case: dict[str, Any], out: str, err: str) -> None:
    """Point stdout and stderr where the case says; `out` and `err` are files."""
    kind = case.get("stdout", "utf-8")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(err, flags), 2)
    sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
    if kind == "closed":
        os.close(1)
        sys.stdout = None  # type: ignore[assignment]
        return
    os.dup2(os.open("/dev/full" if kind == "full" else out, flags), 1)
    encoding = kind if kind in ("cp1252", "ascii") else "utf-8"
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding=encoding, errors="strict")


def _child(case: dict[str, Any], folder: str, out: str, err: str) -> int:
    from mien.cli.app import main

    _open_streams(case, out, err)
    _become(case, folder)
    sys.argv = ["mien", *(_path(word, folder) for word in case["command"])]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
    return 98


def _tree(folder: Path) -> set[Path]:
    found: set[Path] = set()
    for root, folders, files in os.walk(folder):
        if root == str(folder):
            folders.remove("cache")
        found.update(Path(root, name) for name in (*folders, *files))
    return found


def _half_made(path: Path) -> bool:
    # An empty folder is one that was asked for: it shows, before the work, that it can be written to.
    return ".tmp" in path.name or (path.is_file() and not path.stat().st_size)


def run(case: dict[str, Any], folder: Path, streams: Path) -> dict[str, Any]:
    """The exit code (97 and more: a traceback), what was printed, seconds, and what was left half-made."""
    out, err = streams / "out", streams / "err"
    before, started = _tree(folder), time.perf_counter()
    sys.stdout.flush()
    if not (child := os.fork()):
        code = 97
        try:
            signal.alarm(_SECONDS)
            code = _child(case, str(folder), str(out), str(err))
        finally:
            os._exit(code)
    result = {"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}
    made = sorted(_tree(folder) - before)
    half_made = [str(path.relative_to(folder)) for path in made if _half_made(path)]
    for path in reversed(made):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    texts = {}
    for path in (out, err):
        texts[path.name] = path.read_bytes()[:100_000].decode("utf-8", "replace") if path.exists() else ""
        path.unlink(missing_ok=True)
    return {**result, **texts, "half_made": half_made, "seconds": time.perf_counter() - started}


def main() -> None:
    """Run the cases."""
    folder, cases = Path(sys.argv[1]), json.load(sys.stdin)
    for name in cases.pop("imports"):
        __import__(name)
    with tempfile.TemporaryDirectory() as streams:
        print(json.dumps([run(case, folder, Path(streams)) for case in cases["cases"]]))


if __name__ == "__main__":
    main()
