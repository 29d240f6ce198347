"""ONNX Runtime sends nothing and leaves nothing behind, and is imported in one place."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From here on, a thread that makes a socket of any kind ends the process with SIGSYS. ONNX Runtime's sockets
# are made in C++, where Python's audit hooks do not reach. Source: seccomp(2), linux/bpf_common.h.
NO_SOCKETS = """
import ctypes, os, platform, struct, sys, time
socket_call, architecture = {"x86_64": (41, 0xC000003E), "aarch64": (198, 0xC00000B7)}[platform.machine()]
program = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 4),              # load the architecture
    (0x15, 0, 2, architecture),
    (0x20, 0, 0, 0),              # load the number of the system call
    (0x15, 1, 0, socket_call),
    (0x06, 0, 0, 0x7FFF0000),     # allow
    (0x06, 0, 0, 0x80000000),     # end the process
))
held = ctypes.create_string_buffer(program, len(program))
header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):
    sys.exit(77)
"""
ANALYZE = """
import numpy, mien
mien.analyze(numpy.zeros((128, 128, 3), numpy.uint8))
"""
WITHOUT_MIEN = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
session.run(None, {"image": numpy.zeros((1, 96, 96, 3), numpy.uint8)})
"""
# The collector's address was looked up 8.7 s after the first run.
WAIT = "time.sleep(13)\n"


def run_alone(home: Path, code: str) -> subprocess.Popen[bytes]:
    """A Python process with an empty home in which a socket is fatal."""
    home.mkdir()
    environment = {"HOME": str(home), "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    weights = ROOT / "src/mien/models/weights/blazeface-back.onnx"
    return subprocess.Popen([sys.executable, "-c", NO_SOCKETS + code, str(weights)], env=environment)


@pytest.mark.skipif(sys.platform != "linux", reason="the filter of system calls is Linux's")
def test_analyzing_makes_no_socket_and_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    """ONNX Runtime 1.30 and later did both. A bare run of it and a bare socket show that either is seen."""
    socket = run_alone(tmp_path / "socket", "import socket; socket.socket()")
    if socket.wait() == 77:
        pytest.skip("this system allows no filter of system calls")
    assert socket.returncode == -signal.SIGSYS
    mien, bare = (
        run_alone(tmp_path / "mien", ANALYZE + WAIT),
        run_alone(tmp_path / "bare", WITHOUT_MIEN + WAIT),
    )
    assert mien.wait() == 0
    assert list((tmp_path / "mien").rglob("*")) == []
    if bare.wait() == 0:
        assert list((tmp_path / "bare").rglob("*")) == [], "files without a socket: is the wait long enough?"
    else:
        assert bare.returncode == -signal.SIGSYS
        assert any(path.is_file() for path in (tmp_path / "bare").rglob("*"))


def first_import(path: Path) -> int | None:
    """The first line on which a file imports ONNX Runtime."""
    text = path.read_text(encoding="utf-8")
    lines = []
    for node in ast.walk(ast.parse(text)) if "onnxruntime" in text else ():
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        lines += [node.lineno for name in names if name.partition(".")[0] == "onnxruntime"]
    return min(lines, default=None)


def test_onnxruntime_is_imported_where_its_telemetry_is_switched_off() -> None:
    files = [path for folder in ("src", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py")]
    lines = {path.relative_to(ROOT).as_posix(): line for path in files if (line := first_import(path))}
    assert set(lines) == {
        "src/mien/models/runtime.py",
        "src/mien/exporting/quantize.py",  # needs a part of the package, and imports the file above first
        "scripts/convert_blazeface.py",  # works without mien, and sets the variable itself
        "scripts/convert_facemesh.py",  # the same
    }
    for name, line in lines.items():
        before = "".join((ROOT / name).read_text(encoding="utf-8").splitlines()[: line - 1])
        assert '"ORT_DISABLE_TELEMETRY"' in before or "import mien.models.runtime" in before, name
    assert "ORT_DISABLE_TELEMETRY=1" in (ROOT / "Containerfile").read_text(encoding="utf-8")
