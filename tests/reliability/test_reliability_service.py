"""The service while clients hold connections and streams, and its memory after many requests."""

from __future__ import annotations

import importlib.util
import json
import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("fastapi")

# The harness of the benchmark, which measures more attacks for longer.
_FILE = Path(__file__).parents[2] / "benchmarks" / "serve_attacks.py"
SOAK = "MIEN_SOAK" in os.environ
SECONDS = 20.0 if SOAK else 2.0
HOLDING = (
    "100 slow headers",
    "1,000 slow headers",
    "500 idle connections",
    "8 streams that do not read",
    "8 streams without frames",
)
OTHERS = (
    "truncated JPEGs",
    "damaged AVIFs",
    "JPEGs with 3,000 scans",
    "60 slow bodies",
    "clients that leave",
)


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve_attacks", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["serve_attacks"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def port(harness: ModuleType) -> Iterator[int]:
    with harness.server("--model", "mien-tiny") as made:
        yield made


@pytest.mark.parametrize("name", HOLDING + OTHERS if SOAK else HOLDING)
def test_good_clients_are_served_during_an_attack(name: str, harness: ModuleType, port: int) -> None:
    made = harness.connection_attacks() | (harness.image_attacks() if SOAK else {})
    attack, attackers = made[name]
    harness.STREAMS_AFTER_S = SECONDS / 2 if not SOAK else 6.0
    measured = harness.measure(port, attack, attackers, SECONDS)
    assert len(measured.served) > SECONDS
    assert measured.share() > 0.95
    probes = sorted(measured.probes)
    assert probes[int((0.99 if SOAK else 0.5) * (len(probes) - 1))] < 1
    if "stream" not in name or SOAK:  # a stream without frames has its place for five seconds
        assert measured.streams
        assert measured.stream_share() > 0.95


def memory_mb(pid: int) -> float:
    """The memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def growth_mb(work: Callable[[], object], times: int, pid: int) -> float:
    """How much a process grows in the second half of that many pieces of work."""
    for _ in range(times // 2):
        work()
    before = memory_mb(pid)
    for _ in range(times // 2):
        work()
    return memory_mb(pid) - before


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_service_does_not_grow_with_requests_and_streams(harness: ModuleType, port: int) -> None:
    """The control grows by as much as one photo each time, which the limit notices."""
    served = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"mien.cli.app\0serve\0--port" in path.read_bytes()
        and f"PPid:\t{os.getpid()}\n" in (path.parent / "status").read_text(encoding="utf-8")
    ]
    target = harness.Target(port, float("inf"))
    statuses: list[int] = []

    def frame() -> None:
        stream.send(struct.pack(">Id", 1, 0.0) + harness.PHOTO)
        statuses.append(200 if json.loads(stream.recv(timeout=10))["type"] == "faces" else 500)

    times, most = (20_000, 30.0) if SOAK else (60, 6.0)
    assert growth_mb(lambda: statuses.append(target.post(harness.PHOTO)), times, served[0]) < most
    with target.stream() as stream:
        assert json.loads(stream.recv(timeout=10))["type"] == "ready"
        assert growth_mb(frame, times, served[0]) < most
    assert statuses == [200] * (4 * (times // 2))
    kept: list[mmap.mmap] = []

    def keep() -> None:
        kept.append(mmap.mmap(-1, 1 << 20))  # not of the memory that this process has freed before
        kept[-1].write(bytes([1]) * (1 << 20))

    assert growth_mb(keep, times, os.getpid()) > most
