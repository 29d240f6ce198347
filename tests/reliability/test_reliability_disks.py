"""Disks that are full, limited or read-only: a sentence, an exit code, and nothing half-made stays."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.synthetic.faces import faces
from mien.emotions import FER2013
from mien.files import drop_partial_line, named, staged
from mien.serve.static_page import site
from mien.testing.clips import write_clip

pytest.importorskip("resource", reason="Windows has neither these limits nor tmpfs")

SOAK = "MIEN_SOAK" in os.environ
PAGE = (Path(site.__file__).parent / "mien-js").is_dir()  # else `make web` has not built it
PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
# Command to exit code, standard error, sizes of new files, and whether CSVs and JSON lines end with a line.
Results = dict[str, tuple[object, str, dict[str, int], bool]]

# Runs commands one after the other in one process, since importing takes longer than failing.
_DRIVER = """
import contextlib, io, json, resource, shutil, sys, traceback
from pathlib import Path
from mien.cli.app import main

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
results = {}
commands = json.load(sys.stdin)
sys.argv = ["mien", *commands.pop("before")]
with contextlib.redirect_stderr(None), contextlib.suppress(SystemExit):
    main()
for name, command in commands.items():
    before = set(folder.rglob("*"))
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    sys.argv = ["mien", *command]
    try:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        code = traceback.format_exc()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    made = [path for path in folder.rglob("*") if path not in before]
    files = {str(path.relative_to(folder)): path.stat().st_size for path in made if path.is_file()}
    whole = all(path.read_bytes()[-1:] == b"\\n" for path in made if path.suffix in (".csv", ".jsonl"))
    results[name] = [code or 0, err.getvalue(), files, whole]
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn faces in two splits, and a clip."""
    folder = tmp_path_factory.mktemp("inputs")
    table = faces(42, seed=2)
    for i, (label, face) in enumerate(zip(table.labels, table.pixels, strict=True)):
        place = folder / "data" / ("train", "test")[i % 2] / FER2013[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(place / f"{i}.png")
    with Image.open(PHOTO) as photo:
        frame = np.asarray(photo.convert("RGB"))
    write_clip(folder / "clip.mp4", [frame] * 3, rate=3)
    return folder


@pytest.fixture
def run(inputs: Path) -> Callable[..., Results]:
    """Runs all commands that write files into a folder."""
    data, clip, trained = str(inputs / "data"), str(inputs / "clip.mp4"), str(inputs / "run")
    scored = ["--model", "mien-tiny", "--data", data, "--split", "test", "--bootstrap", "50"]
    quick = ["--set", "network.backbone=test_efficientnet", "--set", "network.init=random"]
    quick += ["--set", "schedule.epochs=1", "--set", "data.validation=test"]

    before = ["train", "--data", data, "--out", trained, *quick]

    def commands(folder: Path) -> dict[str, list[str]]:
        def to(name: str) -> str:
            return str(folder / name)

        tiny = ["--model", "mien-tiny"]
        files = {
            "evaluate --json": ["evaluate", *scored, "--json", to("x.json")],
            "evaluate --predictions": ["evaluate", *scored, "--predictions", to("x.csv")],
            "data convert": ["data", "convert", data, to("x.parquet")],
            "train": ["train", "--data", data, "--out", to("run"), *quick],
            "predict --out x.json": ["predict", str(PHOTO), *tiny, "--out", to("x.json")],
            "predict --out x.csv": ["predict", str(PHOTO), *tiny, "--out", to("x.csv")],
            "predict --out x.jsonl": ["predict", str(PHOTO), *tiny, "--out", to("x.jsonl")],
            "predict --save": ["predict", str(PHOTO), *tiny, "--save", to("saved")],
            "predict --out folder": ["predict", str(PHOTO), *tiny, "--out", to("photos")],
            "predict clip --out x.csv": ["predict", clip, *tiny, "--out", to("x.csv")],
            "predict clip --out x.parquet": ["predict", clip, *tiny, "--out", to("x.parquet")],
            "predict clip --save": ["predict", clip, *tiny, "--save", to("saved")],
            "predict clip --out study": ["predict", clip, *tiny, "--out", to("study")],
            "explain": ["explain", str(PHOTO), *tiny, "--out", to("report")],
            "export": ["export", trained, "--split", "test", "--out", to("x.onnx")],
            "page": ["page", "--out", to("page")],
        }
        if not PAGE:
            del files["page"]
        reports = {
            "report": ["report", trained, "--out", to("report")],
            "evaluate --out": ["evaluate", *scored, "--out", to("report")],
            "explore": ["explore", "--data", data, "--out", to("report")],
            "audit": ["audit", "--data", data, *tiny, "--out", to("report")],
            "compare": ["compare", "mien-tiny", "mien-lite0", *scored[2:], "--out", to("report")],
            "study": ["study", "--data", data, "--split", "test", *tiny, "--out", to("report")],
        }
        return files | reports if SOAK else files | {"explore": reports["explore"]}

    def made(folder: Path, limit: int = 0) -> Results:
        ran = subprocess.run(
            [sys.executable, "-c", _DRIVER, str(folder), str(limit)],
            input=json.dumps({"before": before} | commands(folder)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return {name: tuple(result) for name, result in json.loads(ran.stdout.splitlines()[-1]).items()}

    return made


def check(results: Results) -> None:
    """Every command ended with the cause in a sentence and an exit code, and left nothing half-made."""
    wrong = {}
    causes = ("File too large", "No space left", "disk is full", "disk is read-only", "Read-only")
    for name, (code, said, files, whole) in results.items():
        half_made = [path for path, size in files.items() if not size or ".tmp" in path]
        sentence = code in (1, 2, 3, 5, 7) and "error: " in said and "Traceback" not in said
        if not sentence or not any(cause in said for cause in causes) or half_made or not whole:
            wrong[name] = (code, said, files)
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root on Linux can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(not SOAK, reason="make soak; a limit on files is quicker")
def test_every_command_on_a_full_disk_says_so(small_disk: Path, run: Callable[..., Results]) -> None:
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        for size in (4096, 1):
            with suppress(OSError):
                while filler.write(bytes(size)):
                    pass
    check(run(small_disk))


def test_every_command_says_so_where_files_may_not_grow(tmp_path: Path, run: Callable[..., Results]) -> None:
    """A file may have 300 bytes: the first part of each is written."""
    check(run(tmp_path, 300))


@pytest.mark.skipif(not SOAK, reason="make soak; a limit on files is quicker")
def test_every_command_on_a_read_only_disk_says_so(small_disk: Path, run: Callable[..., Results]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    check(run(small_disk))


def test_a_text_file_is_cut_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for content, kept in (
        (b"a\nb\nc", b"a\nb\n"),
        (b"a\n", b"a\n"),
        (b"a\n" + b"x" * 200_000, b"a\n"),
        (b"x" * 65_535 + b"\n" + b"y" * 65_536, b"x" * 65_535 + b"\n"),
    ):
        path.write_bytes(content)
        drop_partial_line(path)
        assert path.read_bytes() == kept
    for content in (b"", b"x", b"x" * 70_000):
        path.write_bytes(content)
        drop_partial_line(path)
        assert not path.exists()
    drop_partial_line(path)


def test_an_error_of_an_open_file_names_its_path(tmp_path: Path) -> None:

    def fail() -> None:
        with staged(tmp_path / "x.json") as made:
            made.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space.*x\.json"):
        fail()
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="other"), named(tmp_path / "x.json"):
        (tmp_path / "other").read_text()
