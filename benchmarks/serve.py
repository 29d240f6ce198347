"""Images per second over HTTP, compared with a plain handler and with the same pipeline without HTTP; and the
latency of a stream.

    python benchmarks/serve.py

Each image is a different 640x480 JPEG with one face. The methods take turns, so that other load on the
machine affects all of them; medians of the rounds. Each server runs in its own process, on the client's
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from websockets.sync.client import connect

import mien
from mien.detection.blazeface import BlazeFace
from mien.images.decode import read_image
from mien.inference.analyzer import Analyzer
from mien.models.registry import DEFAULT
from mien.models.runtime import onnxruntime
from mien.serve.batching import WorkerPool
from mien.serve.settings import Settings
from mien.serve.uploads import UploadedImage
from mien.testing.camera import pan

HERE = Path(__file__).parent
PHOTO = HERE.parent / "examples" / "astronaut.jpg"
_CAMERA_RATE = 30.0


def images(count: int) -> list[bytes]:
    """JPEGs of 640x480 with one face at different positions."""
    with Image.open(PHOTO) as image:
        views = pan(np.asarray(image.convert("RGB")), (640, 480), frames=count)
    coded = []
    for view in views:
        buffer = io.BytesIO()
        Image.fromarray(view).save(buffer, "JPEG", quality=90)
        coded.append(buffer.getvalue())
    return coded


@contextmanager
def server(command: list[str]) -> Iterator[int]:
    """The port of a server process that is ready; it replaces ``{port}`` in the command."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [part.replace("{port}", str(port)) for part in command], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            try:
                with urlopen(f"http://127.0.0.1:{port}/readyz") as response:
                    json.load(response)
                    break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


async def rate_over_http(port: int, bodies: list[bytes], total: int, at_once: int) -> float:
    """Images per second over this many open connections; a minimal client, since it shares the cores."""
    head = (
        b"POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    )
    requests = [head % (port, len(body)) + body for body in bodies]
    left = iter(range(total))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in left:
            writer.write(requests[number % len(requests)])
            response = await reader.readuntil(b"\r\n\r\n")
            length = int(response.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not response.startswith(b"HTTP/1.1 200") or b'"box"' not in body:
                raise SystemExit(f"not a response with a face: {response!r} {body[:200]!r}")
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return total / (time.perf_counter() - start)


async def rate_in_process(
    workers: WorkerPool, labels: str, bodies: list[bytes], total: int, at_once: int
) -> float:
    """Images per second of the same workers, without HTTP."""
    left = iter(range(total))

    async def client() -> None:
        for number in left:
            await workers.analyze([UploadedImage(bodies[number % len(bodies)], "image")], labels)

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return total / (time.perf_counter() - start)


def cores_gain(bodies: list[bytes], runs: int = 100) -> float:
    """How many times faster all cores detect faces than one: no service can gain more.

    Two threads of one physical core, as on most rented machines, are not twice as fast.
    """
    detector, threads = BlazeFace(threads=1), os.cpu_count() or 1
    pixels = [read_image(body).pixels for body in bodies]

    def detect() -> None:
        for i in range(runs):
            detector.detect(pixels[i % len(pixels)])

    def rate(count: int) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            for future in [pool.submit(detect) for _ in range(count)]:
                future.result()
        return count * runs / (time.perf_counter() - start)

    rate(1)  # warms up
    return rate(threads) / rate(1)


@dataclass(frozen=True)
class Latency:
    """Milliseconds from sending a frame to receiving its results."""

    median: float
    p95: float
    frames: int


def stream_latency(port: int, bodies: list[bytes], frames: int, rate: float) -> Latency:
    """The latency of frames at a camera's rate, each sent after the results of the last one."""
    times = []
    with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None) as stream:
        stream.recv()
        begin = time.perf_counter()
        for i in range(frames):
            time.sleep(max(0.0, begin + i / rate - time.perf_counter()))
            start = time.perf_counter()
            stream.send(struct.pack(">Id", i, i / rate) + bodies[i % len(bodies)])
            response = json.loads(stream.recv())
            times.append(1000 * (time.perf_counter() - start))
            if response["type"] != "faces":
                raise SystemExit(f"not a result: {response}")
    ordered = sorted(times[len(times) // 10 :])  # without the first ones, which warm up
    return Latency(statistics.median(ordered), ordered[int(0.95 * len(ordered))], len(times))


def machine() -> str:
    """The processor, its load, and the versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    name = names[0] if names else platform.processor() or platform.machine()
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{name}, {os.cpu_count()} cores{load}; Python {platform.python_version()}, "
        f"ONNX Runtime {onnxruntime.__version__}, mien {mien.__version__}"
    )


def measure(model: str, bodies: list[bytes], total: int, rounds: int, at_once: int) -> dict[str, list[float]]:
    """Method to images per second in each round."""
    plain = [sys.executable, str(HERE / "peers" / "plain_service.py"), "{port}", model]
    ours = [sys.executable, "-m", "mien.cli.app", "serve", "--port", "{port}", "--model", model]
    labels = "fer2013"
    workers = WorkerPool(
        Analyzer(model, BlazeFace(threads=1), threads=1, labels=labels),
        workers=Settings().threads,
        max_waiting=1000,
        max_pixels=10**8,
    )
    workers.start()
    rates: dict[str, list[float]] = {}
    with (
        server([*plain, "async"]) as one_by_one,
        server([*plain, "threads"]) as threads,
        server([*ours, "--labels", labels]) as served,
    ):
        methods: dict[str, Callable[[int], float]] = {
            "plain FastAPI handler, one at a time": lambda n: asyncio.run(
                rate_over_http(one_by_one, bodies, n, at_once)
            ),
            "the same in FastAPI's threads": lambda n: asyncio.run(
                rate_over_http(threads, bodies, n, at_once)
            ),
            "mien serve": lambda n: asyncio.run(rate_over_http(served, bodies, n, at_once)),
            "the same pipeline, no HTTP": lambda n: asyncio.run(
                rate_in_process(workers, labels, bodies, n, at_once)
            ),
        }
        for method in methods.values():
            method(3 * at_once)  # warms up, and does not count
        for _ in range(rounds):
            for name, method in methods.items():
                rates.setdefault(name, []).append(method(total))
    workers.stop()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--images", type=int, default=300, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=16, help="open requests")
    parser.add_argument("--frames", type=int, default=200, help="of the stream")
    arguments = parser.parse_args()
    console = Console(width=110, file=sys.stdout, highlight=False)
    console.print(machine())
    bodies = images(40)
    measured = measure(arguments.model, bodies, arguments.images, arguments.rounds, arguments.at_once)
    base = measured["plain FastAPI handler, one at a time"]
    table = Table(title=f"Single-face 640x480 JPEGs, {arguments.at_once} open requests")
    for column in ("method", "images/s", "range", "relative to plain", "relative to no HTTP"):
        table.add_column(column, justify="left" if column == "method" else "right")
    bare = measured["the same pipeline, no HTTP"]
    for name, rates in measured.items():
        # Per round: other load affects all methods of a round.
        times = statistics.median(rate / other for rate, other in zip(rates, base, strict=True))
        share = statistics.median(rate / other for rate, other in zip(rates, bare, strict=True))
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        table.add_row(name, f"{statistics.median(rates):.1f}", spread, f"{times:.2f}", f"{share:.0%}")
    console.print(table)
    console.print(f"{os.cpu_count()} threads detect faces {cores_gain(bodies):.2f} times as fast as one.")
    command = [sys.executable, "-m", "mien.cli.app", "serve", "--port", "{port}", "--model", arguments.model]
    with server(command) as port:
        latency = stream_latency(port, bodies, arguments.frames, _CAMERA_RATE)
        console.print(
            f"Stream at {_CAMERA_RATE:g} frames/s, from frame to results: median "
            f"{latency.median:.1f} ms, 95 % within {latency.p95:.1f} ms ({latency.frames} frames)"
        )


if __name__ == "__main__":
    main()
