"""The service under attack: how many good requests are served, and how long `/healthz` takes.

    python benchmarks/serve_attacks.py [--seconds 12]

It starts `mien serve` on this machine. For each attack, four good clients send one photo each, one after the
other, and a probe reads `/healthz` every 50 ms, while the attackers work. From the sixth second on, one more
good client opens a stream, sends a frame and leaves, again and again. A request that is refused, or not
answered within 30 s, is not served. The goal: more than 95 % served, and a 99th percentile below 1 s.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

PHOTO = (Path(__file__).parents[1] / "examples" / "astronaut.jpg").read_bytes()
GOOD_CLIENTS, TIMEOUT_S = 4, 30.0
# A stream without frames gives its place to a new one after 5 s.
STREAMS_AFTER_S = 6.0

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

    def stream(self) -> ClientConnection:
        """An open stream."""
        url = f"ws://127.0.0.1:{self.port}/v1/stream"
        return connect(url, compression=None, open_timeout=TIMEOUT_S, close_timeout=1)

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


def holding(start: bytes, slowly: bytes, count: int = 10) -> Attack:
    """Hold connections, on which a byte is sent now and then; those that were ended are opened again."""

    def attack(target: Target) -> None:
        held: list[socket.socket] = []
        while target.running():
            with suppress(OSError):
                while len(held) < count and target.running():
                    held.append(target.connect())
                    held[-1].sendall(start)
            time.sleep(0.5)
            for peer in list(held):
                try:
                    peer.sendall(slowly)
                except OSError:
                    peer.close()
                    held.remove(peer)
        for peer in held:
            peer.close()

    return attack


def idle_streams(target: Target) -> None:
    """Hold a stream without frames; one that was ended is opened again after a second."""
    while target.running():
        with suppress(OSError, WebSocketException), target.stream() as stream:
            while target.running():
                with suppress(TimeoutError):
                    stream.recv(timeout=0.2)
        time.sleep(1)


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


def image_attacks() -> dict[str, tuple[Attack, int]]:
    """Attacks with images: name to attack and number of attackers."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8))
    avif = bytearray(encoded(noise, "AVIF"))
    avif[len(avif) // 2 :: 7] = b"\0" * len(avif[len(avif) // 2 :: 7])
    return {
        "truncated JPEGs": (sending(PHOTO[:9000]), 8),
        "damaged AVIFs": (sending(bytes(avif)), 8),
        "JPEGs with 3,000 scans": (sending(many_scans(1500, 3000)), 8),
        "36 megapixels, 300 scans": (sending(many_scans(6000, 300)), 8),
        "PNGs of 49 megapixels": (sending(encoded(Image.new("RGBA", (7000, 7000)), "PNG")), 8),
        "JPEG 2000 of 49 megapixels": (sending(encoded(Image.new("L", (7000, 7000)), "JPEG2000")), 8),
    }


def connection_attacks() -> dict[str, tuple[Attack, int]]:
    """Attacks that hold connections: name to attack and number of attackers."""
    return {
        "100 slow headers": (holding(b"GET / HTTP/1.1\r\n", b"X: y\r\n"), 10),
        "1,000 slow headers": (holding(b"GET / HTTP/1.1\r\n", b"X: y\r\n", 100), 10),
        "500 idle connections": (holding(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"", 50), 10),
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
        "8 streams without frames": (idle_streams, 8),
    }


@dataclass
class Measured:
    """Seconds of each served request, stream and probe, and how many requests and streams were not served."""

    served: list[float] = field(default_factory=list)
    refused: int = 0
    streams: list[float] = field(default_factory=list)
    refused_streams: int = 0
    probes: list[float] = field(default_factory=list)

    def share(self) -> float:
        """Of the good requests that were served."""
        return len(self.served) / max(1, len(self.served) + self.refused)

    def stream_share(self) -> float:
        """Of the good streams that were served; NaN if there was none."""
        tried = len(self.streams) + self.refused_streams
        return len(self.streams) / tried if tried else float("nan")


def good_requests(target: Target, measured: Measured) -> None:
    """Send photos one after the other."""
    while target.running():
        start = time.perf_counter()
        try:
            served = target.post(PHOTO) == 200
        except (OSError, http.client.HTTPException):
            served = False
        if served:
            measured.served.append(time.perf_counter() - start)
        else:
            measured.refused += 1


def good_streams(target: Target, measured: Measured) -> None:
    """Open a stream, send a frame, receive its faces, leave."""
    time.sleep(STREAMS_AFTER_S)
    while target.running():
        start = time.perf_counter()
        try:
            with target.stream() as stream:
                stream.send(struct.pack(">Id", 1, 0.0) + PHOTO)
                kinds = [json.loads(stream.recv(timeout=TIMEOUT_S))["type"] for _ in range(2)]
            served = kinds == ["ready", "faces"]
        except (OSError, WebSocketException):
            served = False
        if served:
            measured.streams.append(time.perf_counter() - start)
        else:
            measured.refused_streams += 1
        time.sleep(0.2)


def probes(target: Target, measured: Measured) -> None:
    """Read `/healthz` every 50 ms."""
    while target.running():
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=TIMEOUT_S)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        connection.close()
        measured.probes.append(time.perf_counter() - start)
        time.sleep(0.05)


def measure(port: int, attack: Attack, attackers: int, seconds: float) -> Measured:
    """Attack a server for so long, with good clients beside."""
    target, measured = Target(port, time.monotonic() + seconds), Measured()
    threads = [threading.Thread(target=attack, args=(target,)) for _ in range(attackers)]
    works = (*[good_requests] * GOOD_CLIENTS, good_streams, probes)
    threads += [threading.Thread(target=work, args=(target, measured)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return measured


def percentile(values: Sequence[float], part: float) -> float:
    """A percentile, in milliseconds."""
    return 1000 * float(np.percentile(values, part)) if values else float("nan")


@contextmanager
def server(*options: str) -> Iterator[int]:
    """The port of a `mien serve` that runs during a with block."""
    command = [sys.executable, "-m", "mien.cli.app", "serve", "--port", "0", "--grace", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline() if process.stderr else ""
            found = re.search(r":(\d+)$", line.strip())
            if found is None:
                raise RuntimeError(f"the server did not start: {line}")
            threading.Thread(target=process.stderr.read if process.stderr else lambda: None).start()
            measure(int(found[1]), lambda _: None, 1, 2)  # warm up
            yield int(found[1])
        finally:
            process.terminate()


def main() -> None:
    """Print one row per attack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each attack")
    seconds = parser.parse_args().seconds
    attacks = {"none": (lambda _: None, 1), **image_attacks(), **connection_attacks()}
    with server() as port:
        print("| attack | requests served | of | median ms | 95 % ms | streams served | /healthz 99 % ms |")
        print("|---|---|---|---|---|---|---|")
        for name, (attack, attackers) in attacks.items():
            row = measure(port, attack, attackers, seconds)
            cells = (
                name,
                f"{row.share():.0%}",
                len(row.served) + row.refused,
                f"{percentile(row.served, 50):.0f}",
                f"{percentile(row.served, 95):.0f}",
                f"{row.stream_share():.0%} of {len(row.streams) + row.refused_streams}",
                f"{percentile(row.probes, 99):.0f}",
            )
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
            time.sleep(5)


if __name__ == "__main__":
    main()
