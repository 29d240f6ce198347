"""The service while clients hold connections and streams: good clients are served."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
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
