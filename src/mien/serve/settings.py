"""What a server is told before it starts: where it listens, who may ask, and how much at once."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import UsageError
from mien.models.registry import DEFAULT

MB = 1024 * 1024
_LEAST_KEY = 16  # characters; 64 bits even if someone takes hex digits alone


@dataclass(frozen=True)
class Limits:
    """How much one request, one client and all of them together may ask for.

    Attributes:
        body_bytes: of a request with pictures.
        pictures: in one request.
        pixels: in one picture, by its header, before anything is decoded.
        frame_bytes: of one frame of a stream.
        request_s: to receive a request and answer it.
        upload_s: to receive a clip.
        waiting: pictures that wait to be read, over all requests.
        per_client: requests that one address may have open.
        streams: open at once.
        video_bytes: of a clip.
        video_s: length of a clip.
        jobs: clips that wait or are read, over all clients.
        keep_s: how long the result of a clip is kept after it is done.
    """

    body_bytes: int = 32 * MB
    pictures: int = 32
    pixels: int = 50_000_000
    frame_bytes: int = 4 * MB
    request_s: float = 30.0
    upload_s: float = 600.0
    waiting: int = 256
    per_client: int = 64
    streams: int = 8
    video_bytes: int = 512 * MB
    video_s: float = 3600.0
    jobs: int = 4
    keep_s: float = 3600.0


@dataclass(frozen=True)
class Settings:
    """A server's settings.

    Attributes:
        host: the address to listen on.
        port: the port; 0 lets the system choose a free one.
        api_key: what a client must show to use `/v1` and `/metrics`; None for nobody has to.
        without_key: allow listening beyond this machine without a key.
        allow_hosts: names beside this machine's own by which clients may call the server.
        allow_origins: other sites, such as ``"https://example.org"``, whose pages may use it.
        model: a shipped name, or the path of an ONNX file.
        labels: the label set that is answered with unless a request names one; the model's default for None.
        device: where the model runs, see `mien.models.onnx.OnnxClassifier`.
        workers: pictures read at the same time; one a core for None.

    Raises:
        UsageError: listening beyond this machine without a key, or a key too short to protect anything.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = field(default=None, repr=False)
    without_key: bool = False
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    model: str | Path = DEFAULT
    labels: str | None = None
    device: str = "auto"
    workers: int | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.api_key is not None and len(self.api_key) < _LEAST_KEY:
            raise UsageError(
                f"the API key has {len(self.api_key)} characters, fewer than {_LEAST_KEY}. Make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(24))"'
            )
        if not self.local and self.api_key is None and not self.without_key:
            raise UsageError(
                f"--host {self.host} lets other machines in, and there is no API key. Set one in "
                "MIEN_API_KEY or --api-key-file, or add --without-key if everyone who can reach this "
                "machine may use it."
            )
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers must be 1 or more, not {self.workers}.")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def readers(self) -> int:
        """How many pictures are read at the same time."""
        return self.workers or os.cpu_count() or 1


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone; ``""`` and ``0.0.0.0`` mean everyone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
