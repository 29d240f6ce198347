"""The settings of a server: address, key, allowed hosts and sites, model, limits."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import UsageError
from mien.models.registry import DEFAULT

KEY_VARIABLE = "MIEN_API_KEY"
NOTICE = (
    "A computer program analyzes the expressions of the faces in front of this camera. "
    "It predicts how a face looks, not what a person feels."
)
MB = 1024 * 1024
_MIN_KEY = 16  # characters; 64 bits even if only hex digits are used


@dataclass(frozen=True)
class Limits:
    """The limits of a request, of a client, and of all clients together.

    Attributes:
        body_bytes: of a request with images.
        images: per request.
        pixels: per image, checked in its header before decoding.
        frame_bytes: per frame of a stream.
        request_s: to receive a request and respond.
        upload_s: to receive a clip.
        waiting: images waiting, over all requests.
        per_client: open requests per address.
        streams: open at the same time.
        idle_s: how long a stream may go without a frame that can be read.
        connections: open at the same time, over all clients.
        video_bytes: of a clip.
        video_s: length of a clip.
        jobs: clips waiting or running, over all clients.
        keep_s: how long the result of a clip is kept.
        decode_s: to decode one large image.
        header_s: to receive the header of a request.
        send_s: how long a client may leave a response unread.
        grace_s: from SIGTERM, when `/readyz` turns to 503, until the port closes.
    """

    body_bytes: int = 32 * MB
    images: int = 32
    pixels: int = 50_000_000
    frame_bytes: int = 4 * MB
    request_s: float = 30.0
    upload_s: float = 600.0
    waiting: int = 256
    per_client: int = 64
    streams: int = 8
    idle_s: float = 60.0
    connections: int = 512
    video_bytes: int = 512 * MB
    video_s: float = 3600.0
    jobs: int = 4
    keep_s: float = 3600.0
    decode_s: float = 4.0
    header_s: float = 10.0
    send_s: float = 20.0
    grace_s: float = 3.0


@dataclass(frozen=True)
class Settings:
    """A server's settings.

    Attributes:
        host: the address to listen on.
        port: the port; 0 chooses a free one.
        api_key: required for `/v1` and `/metrics`; None requires no key.
        without_key: listen beyond this machine without a key.
        allow_hosts: further host names by which clients may call the server.
        allow_origins: other sites, such as ``"https://example.org"``, whose pages may use it.
        model: a shipped name, or the path of an ONNX file.
        labels: the label set of requests that name none; None for the model's default.
        device: where the model runs, see `mien.models.onnx.OnnxClassifier`.
        workers: images analyzed at the same time; None for one per core.
        notice: for the people in front of the camera, on the page, in the header `Mien-Notice` of responses
            and in the first message of a stream; None for no notice.
        jobs_dir: a folder for clips and their results that several servers share; None for a private one.
        audit_log: a file that gets one line per request of `/v1`; None for no log.

    Raises:
        UsageError: listening beyond this machine without a key, a key that is too short, or a notice that is
            empty or longer than a line.
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
    notice: str | None = NOTICE
    audit_log: Path | None = None
    jobs_dir: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.api_key is not None and len(self.api_key) < _MIN_KEY:
            raise UsageError(
                f"the API key has {len(self.api_key)} characters; the minimum is {_MIN_KEY}. Create one: "
                'python -c "import secrets; print(secrets.token_urlsafe(24))"'
            )
        if not self.local and self.api_key is None and not self.without_key:
            raise UsageError(
                f"--host {self.host} opens the server to other machines, and there is no API key. Set one in "
                "MIEN_API_KEY or --api-key-file, or add --without-key if everyone who can reach this machine "
                "may use it."
            )
        if self.notice is not None and not (self.notice.strip() and self.notice.isprintable()):
            raise UsageError(
                f"the notice must be one line of text, not {self.notice!r:.80}. To show none: "
                "--without-notice."
            )
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers must be 1 or more, not {self.workers}.")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def threads(self) -> int:
        """How many images are analyzed at the same time."""
        return self.workers or os.cpu_count() or 1


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine only; ``""`` and ``0.0.0.0`` mean every network."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
