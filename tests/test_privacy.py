"""Nothing is sent, and no file appears outside the places that docs/privacy.md names."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

from mien.testing.clips import write_clip

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "astronaut.jpg"

# From here on, a thread that connects to anything, on this machine too, or sends a datagram, ends the process
# with SIGSYS, also from C++, where Python's audit hooks do not reach. A server may still listen and accept.
# Source: seccomp(2), linux/bpf_common.h; offsets of struct seccomp_data: 0 number, 4 architecture, 16 + 8 n
# argument n. `sendto` without an address (argument 4) is how a response is sent.
GUARD = """
import ctypes, platform, struct, sys
connect, sendto, sendmmsg, architecture = {
    "x86_64": (42, 44, 307, 0xC000003E), "aarch64": (203, 206, 269, 0xC00000B7),
}[platform.machine()]
program = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 4),
    (0x15, 0, 8, architecture),   # not ours: allow
    (0x20, 0, 0, 0),
    (0x15, 7, 0, connect),
    (0x15, 6, 0, sendmmsg),
    (0x15, 0, 4, sendto),
    (0x20, 0, 0, 48),             # both halves of its address
    (0x15, 0, 3, 0),
    (0x20, 0, 0, 52),
    (0x15, 0, 1, 0),
    (0x06, 0, 0, 0x7FFF0000),     # allow
    (0x06, 0, 0, 0x80000000),     # end the process
))
held = ctypes.create_string_buffer(program, len(program))
header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(held)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):
    sys.exit(77)
"""
RUN = GUARD + "from mien.cli.app import main\nmain()\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter of system calls is Linux's")


class Machine:
    """Commands in an empty home, an empty folder for temporary files, and an empty working folder."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary, self.work = (folder / name for name in ("home", "temporary", "work"))
        for path in (self.home, self.temporary, self.work):
            path.mkdir()

    def start(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            "HOME": str(self.home),
            "USER": "somebody",  # without it PyTorch looks the user up, at the name service of this machine
            "TMPDIR": str(self.temporary),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=environment,
            cwd=self.work,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, code: str, *arguments: str) -> int:
        process = self.start(code, *arguments)
        output = process.communicate(timeout=300)
        if process.returncode == 77:
            pytest.skip("this system allows no filter of system calls")
        assert process.returncode in (0, -signal.SIGSYS), output
        return process.returncode

    def files(self) -> set[str]:
        """The files, by the names of the three folders; in the cache only its top folders."""
        found = set()
        for folder in (self.home, self.temporary, self.work):
            for path in folder.rglob("*"):
                if path.is_file():
                    parts = path.relative_to(folder.parent).parts
                    found.add("/".join(parts[:3] if parts[0] == "home" else parts))
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "sends",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
        "socket.getaddrinfo('example.org', 80)",
    ],
)
def test_the_filter_sees_whatever_is_sent(machine: Machine, sends: str) -> None:
    assert machine.run(f"{GUARD}\nimport socket\n{sends}") == -signal.SIGSYS


def test_photos_send_nothing_and_leave_only_what_was_asked_for(machine: Machine) -> None:
    assert machine.run(RUN, "predict", str(PHOTO), "--save", "out", "--csv") == 0
    assert machine.files() == {"work/out/astronaut.jpg"}


def test_clips_send_nothing_and_leave_only_what_was_asked_for(machine: Machine) -> None:
    clip = write_clip(machine.work / "clip.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 4, rate=4)
    assert machine.run(RUN, "predict", str(clip), "--out", "faces.csv") == 0
    assert machine.files() == {"work/clip.mp4", "work/faces.csv"}


def test_the_service_sends_nothing_but_responses(machine: Machine) -> None:
    clip = write_clip(machine.work / "clip.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 4, rate=4)
    process = machine.start(RUN, "serve", "--port", "0", "--grace", "0")
    assert process.stderr is not None
    line = process.stderr.readline()
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line + process.stderr.read()
        for path, body, kind in (
            ("/", None, ""),
            ("/v1/analyze", PHOTO.read_bytes(), "image/jpeg"),
            ("/v1/video", clip.read_bytes(), "video/mp4"),
        ):
            request = Request(found[0] + path, body, {"Content-Type": kind} if kind else {})
            with urlopen(request, timeout=120) as response:
                assert response.status in (200, 202)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143  # not ended by the filter
    assert machine.files() == {"work/clip.mp4"}


def test_training_sends_nothing_and_writes_into_its_run_folder(machine: Machine) -> None:
    few = "import functools, mien.data.synthetic.faces as faces\n"
    few += "faces.faces = functools.partial(faces.faces, 40)\n"
    code = RUN.replace("from mien", f"{few}from mien", 1)
    sets = ("--set", "epochs=1", "--threads", "1")
    assert machine.run(code, "train", "--data", "synthetic", "--out", "run", *sets) == 0
    outside = {name for name in machine.files() if not name.startswith("work/run/")}
    assert outside <= {"home/.cache/matplotlib"}  # its list of the fonts of this machine
