"""The time to read FER2013's CSV into pixels: mien and the usual ways with pandas, in one run.

    python benchmarks/read_csv.py fer2013.csv [--repeat 3]

Each line is measured in processes of its own: wall-clock seconds and processor time (the best of the
repetitions, without imports), and the peak memory of the process, with imports. Every way must return the
same pixels and labels, else nothing is printed. `mien, cached` follows a first reading that is not measured.
The file is read once before, so that no measurement includes the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013.reader import cores
from mien.files import sha256_file

Faces = tuple[NDArray[np.uint8], NDArray[np.int64]]


def mien_cold(path: Path) -> Callable[[], Faces]:
    """Parsed, without the cache."""
    from mien.data import load

    def read() -> Faces:
        table = load(path, cache=False)
        return table.pixels, table.labels

    return read


def mien_filling(path: Path) -> Callable[[], Faces]:
    """Hashed, parsed and stored in an empty cache: a first reading."""
    from mien.data import load

    os.environ["MIEN_CACHE"] = tempfile.mkdtemp(dir=os.environ["MIEN_CACHE"])

    def read() -> Faces:
        table = load(path)
        return table.pixels, table.labels

    return read


def mien_cached(path: Path) -> Callable[[], Faces]:
    """From the cache that an earlier process has filled."""
    from mien.data import load

    def read() -> Faces:
        table = load(path)
        return table.pixels, table.labels

    return read


def pandas_split(path: Path) -> Callable[[], Faces]:
    """As most notebooks do it."""
    import pandas as pd

    def read() -> Faces:
        frame = pd.read_csv(path)
        pixels = np.array([np.array(row.split(), dtype=np.uint8) for row in frame["pixels"]])
        return pixels.reshape(-1, 48, 48), frame["emotion"].to_numpy(dtype=np.int64)

    return read


def pandas_fromstring(path: Path) -> Callable[[], Faces]:
    """As the quicker notebooks do it."""
    import pandas as pd

    def read() -> Faces:
        frame = pd.read_csv(path)
        pixels = np.array([np.fromstring(row, dtype=np.uint8, sep=" ") for row in frame["pixels"]])
        return pixels.reshape(-1, 48, 48), frame["emotion"].to_numpy(dtype=np.int64)

    return read


WAYS: dict[str, Callable[[Path], Callable[[], Faces]]] = {
    "mien, cold": mien_cold,
    "mien, cold, filling the cache": mien_filling,
    "mien, cached": mien_cached,
    "pandas + np.array(s.split())": pandas_split,
    "pandas + np.fromstring": pandas_fromstring,
}


def measure(way: str, path: Path) -> dict[str, float | str]:
    """One reading in this process."""
    read = WAYS[way](path)
    clock, processor = time.perf_counter(), time.process_time()
    pixels, labels = read()
    seconds, processor_s = time.perf_counter() - clock, time.process_time() - processor
    # Linux counts in KiB, macOS in bytes.
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes() + labels.tobytes()).hexdigest()
    return {
        "seconds": seconds,
        "processor_s": processor_s,
        "peak_mb": peak_bytes / 1e6,
        "faces": len(pixels),
        "sha256": digest,
    }


def measure_in_new_process(way: str, path: Path, cache: str) -> dict[str, float | str]:
    """The same in a new process."""
    command = [sys.executable, __file__, str(path), "--way", way]
    result = subprocess.run(
        command, env={**os.environ, "MIEN_CACHE": cache}, stdout=subprocess.PIPE, check=True, text=True
    )
    measured: dict[str, float | str] = json.loads(result.stdout)
    return measured


def compare(path: Path, repeat: int) -> None:
    """Measure every way, check that all return the same faces, print the table."""
    sha256 = sha256_file(path)
    best: dict[str, dict[str, float | str]] = {}
    with tempfile.TemporaryDirectory() as cache:
        measure_in_new_process("mien, cached", path, cache)
        for _ in range(repeat):
            for way in WAYS:
                now = measure_in_new_process(way, path, cache)
                best[way] = min(best.get(way, now), now, key=lambda result: result["seconds"])
    if len({result["sha256"] for result in best.values()}) != 1:
        sys.exit("The ways do not return the same faces: " + json.dumps(best, indent=2))
    first = next(iter(best.values()))
    print(
        f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB, {first['faces']:,} faces, SHA-256 {sha256[:12]}"
    )
    print(
        f"{platform.processor() or platform.machine()}, {cores()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, best of {repeat}\n"
    )
    print("| way | seconds | processor seconds | peak memory, MB |")
    print("|---|---:|---:|---:|")
    for way, result in best.items():
        print(f"| {way} | {result['seconds']:.2f} | {result['processor_s']:.2f} | {result['peak_mb']:.0f} |")


def main() -> None:
    """Parse the arguments; the script calls itself with `--way`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="fer2013.csv")
    parser.add_argument("--repeat", type=int, default=3, help="readings of each way; the best counts")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.path)))
    else:
        compare(arguments.path, arguments.repeat)


if __name__ == "__main__":
    main()
