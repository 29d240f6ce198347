"""The service under attack: how many good requests are served, and how long `/healthz` takes.

    python benchmarks/serve_attacks.py [--seconds 8]

It starts `mien serve` on this machine. For each attack, four good clients send one photo each, one after the
other, and a probe reads `/healthz` every 50 ms, while the attackers work. A request that is refused, or not
answered within 30 s, is not served. The goal: more than 95 % served, and a 99th percentile below 1 s.
"""

from __future__ import annotations

import argparse
import http.client
import io
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

PHOTO = (Path(__file__).parents[1] / "examples" / "astronaut.jpg").read_bytes()
GOOD_CLIENTS, TIMEOUT_S = 4, 30.0

Attack = Callable[["Target"], None]


@dataclass(frozen=True)
class Target:
    """The address of the server, and the end of the attack."""

    port: int
    ends: float

    def running(self) -> bool:
        """Whether the attack goes on."""
        return time.monotonic() < self.ends

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

    def post(self, image: bytes) -> int:
        """The status of a request with an image."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/v1/analyze", image, {"Content-Type": "image/jpeg"})
            return connection.getresponse().status
        finally:
            connection.close()


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """The bytes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is there many times."""
    data = encoded(Image.new("RGB", (side, side), (90, 120, 60)), "JPEG", progressive=True)
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:start] + data[start:end] * scans + data[end:]


def sending(image: bytes) -> Attack:
    """Send one image again and again."""

    def attack(target: Target) -> None:
        while target.running():
            with suppress(OSError, http.client.HTTPException):
                target.post(image)

    return attack


def holding(start: bytes, slowly: bytes) -> Attack:
    """Hold ten connections, on which a byte is sent now and then."""

    def attack(target: Target) -> None:
        held = [target.connect() for _ in range(10)]
        for peer in held:
            peer.sendall(start)
        while target.running():
            time.sleep(0.5)
            for peer in held:
                with suppress(OSError):
                    peer.sendall(slowly)
        for peer in held:
            peer.close()

    return attack


def leaving(target: Target) -> None:
    """Send a request and leave."""
    head = "POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: "
    head += str(len(PHOTO))
    while target.running():
        with suppress(OSError), target.connect() as peer:
            peer.sendall(head.encode() + b"\r\n\r\n" + PHOTO[: len(PHOTO) // 2])
        time.sleep(0.02)


def not_reading(target: Target) -> None:
    """Open a stream, send invalid messages and read nothing."""
    text = b"[" * 1000
    message = struct.pack(">BBH4x", 0x81, 0x80 | 126, len(text)) + text
    handshake = (
        b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    while target.running():
        with suppress(OSError), target.connect() as peer:
            peer.settimeout(5)
            peer.sendall(handshake)
            while target.running():
                peer.sendall(message)


def attacks() -> dict[str, tuple[Attack, int]]:
    """Name to attack and number of attackers."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8))
    avif = bytearray(encoded(noise, "AVIF"))
    avif[len(avif) // 2 :: 7] = b"\0" * len(avif[len(avif) // 2 :: 7])
    return {
        "none": (lambda _: None, 1),
        "truncated JPEGs": (sending(PHOTO[:9000]), 8),
        "damaged AVIFs": (sending(bytes(avif)), 8),
        "JPEGs with 3,000 scans": (sending(many_scans(1500, 3000)), 8),
        "36 megapixels, 300 scans": (sending(many_scans(6000, 300)), 8),
        "PNGs of 49 megapixels": (sending(encoded(Image.new("RGBA", (7000, 7000)), "PNG")), 8),
        "JPEG 2000 of 49 megapixels": (sending(encoded(Image.new("L", (7000, 7000)), "JPEG2000")), 8),
        "100 slow headers": (holding(b"GET / HTTP/1.1\r\n", b"X: y\r\n"), 10),
        "60 slow bodies": (
            holding(
                b"POST /v1/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: 100000\r\n\r\n",
                b"\xff",
            ),
            6,  # of one address, at which 64 requests may be open
        ),
        "clients that leave": (leaving, 4),
        "8 streams that do not read": (not_reading, 8),
    }


def measure(
    port: int, attack: Attack, attackers: int, seconds: float
) -> tuple[list[float], int, list[float]]:
    """Seconds of each served request, how many were not served, and seconds of each probe."""
    target = Target(port, time.monotonic() + seconds)
    served: list[float] = []
    failed: list[int] = []
    probes: list[float] = []

    def good() -> None:
        while target.running():
            start = time.perf_counter()
            try:
                status = target.post(PHOTO)
            except (OSError, http.client.HTTPException):
                status = 0
            (served.append(time.perf_counter() - start) if status == 200 else failed.append(status))

    def probe() -> None:
        while target.running():
            start = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/healthz")
                connection.getresponse().read()
            connection.close()
            probes.append(time.perf_counter() - start)
            time.sleep(0.05)

    threads = [threading.Thread(target=attack, args=(target,)) for _ in range(attackers)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(GOOD_CLIENTS + 1) as pool:
        for work in [good] * GOOD_CLIENTS + [probe]:
            pool.submit(work)
    for thread in threads:
        thread.join()
    return served, len(failed), probes


def percentile(values: Sequence[float], part: float) -> float:
    """A percentile, in milliseconds."""
    return 1000 * float(np.percentile(values, part)) if values else float("nan")


def main() -> None:
    """Print one row per attack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack")
    seconds = parser.parse_args().seconds
    command = [sys.executable, "-m", "mien.cli.app", "serve", "--port", "0", "--grace", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline() if process.stderr else ""
            found = re.search(r":(\d+)$", line.strip())
            if found is None:
                sys.exit(f"the server did not start: {line}")
            port = int(found[1])
            threading.Thread(target=process.stderr.read if process.stderr else lambda: None).start()
            measure(port, lambda _: None, 1, 2)  # warm up
            print("| attack | good requests served | of | median ms | 95 % ms | /healthz 99 % ms |")
            print("|---|---|---|---|---|---|")
            for name, (attack, attackers) in attacks().items():
                served, failed, probes = measure(port, attack, attackers, seconds)
                count = len(served) + failed
                share = 100 * len(served) / max(1, count)
                print(
                    f"| {name} | {share:.0f} % | {count} | {percentile(served, 50):.0f} "
                    f"| {percentile(served, 95):.0f} | {percentile(probes, 99):.0f} |",
                    flush=True,
                )
                time.sleep(5)
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
