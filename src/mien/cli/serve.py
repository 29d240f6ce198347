"""`mien serve`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import MACHINE, MODEL, Device, LabelSet, OnnxModel, option
from mien.errors import MissingExtra, UsageError, reason
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from mien.serve.settings import Settings

_KEY_VARIABLE = "MIEN_API_KEY"  # as in mien.serve.settings, which needs the extra
_ADDRESS, _ACCESS, _NOTICE = "Address", "Access", "Notice"


def _limit(name: str, help: str, minimum: float) -> Any:
    return option("Limits", f"{name} N", help, min=minimum)


Port = Annotated[int, option(_ADDRESS, "--port N", "The port; 0 chooses a free one.", min=0, max=65535)]
_Host = Annotated[str, option(_ADDRESS, "--host HOST", "The address to listen on; 0.0.0.0 for all networks.")]
_Certificate = Annotated[
    Path | None, option(_ADDRESS, "--certificate FILE", "Serve HTTPS with this certificate (PEM).")
]
_CertificateKey = Annotated[
    Path | None, option(_ADDRESS, "--certificate-key FILE", "The certificate's private key (PEM).")
]
_AccessLog = Annotated[bool, option(_ADDRESS, "--access-log", "Print one line per request.")]
_ApiKeyFile = Annotated[
    Path | None,
    option(
        _ACCESS,
        "--api-key-file FILE",
        f"A file whose first line is the API key for clients. Default: the variable {_KEY_VARIABLE}.",
    ),
]
_WithoutKey = Annotated[
    bool,
    option(
        _ACCESS,
        "--without-key",
        "Listen beyond this machine without a key; everyone who can reach it may use it.",
    ),
]
_AllowHost = Annotated[
    list[str],
    option(_ACCESS, "--allow-host NAME", "A further host name by which clients may call the server."),
]
_AllowOrigin = Annotated[
    list[str],
    option(
        _ACCESS,
        "--allow-origin ORIGIN",
        "A site whose pages may use the server, such as https://example.org.",
    ),
]
Labels = Annotated[
    LabelSet | None,
    option(
        MODEL,
        "--labels SET",
        "The label set unless a request or the page chooses another. Default: the model's own.",
    ),
]
_Workers = Annotated[
    int | None,
    option(MACHINE, "--workers N", "Images to analyze at the same time. Default: one per core.", min=1),
]
_JobsDir = Annotated[
    Path | None,
    option(
        MACHINE,
        "--jobs-dir DIR",
        "Keep clips and their results in this folder, which several servers may share. Default: a private "
        "folder that is deleted at the end.",
    ),
]
_MaxBodyMb = Annotated[float, _limit("--max-body-mb", "Maximum request size in MB.", 0.001)]
_MaxImages = Annotated[int, _limit("--max-images", "Maximum number of images per request.", 1)]
_MaxMegapixels = Annotated[float, _limit("--max-megapixels", "Maximum image size in megapixels.", 0.001)]
_MaxWaiting = Annotated[
    int, _limit("--max-waiting", "Maximum number of waiting images; further requests get status 503.", 1)
]
_MaxPerClient = Annotated[
    int,
    _limit("--max-per-client", "Maximum number of open requests per client; further ones get status 429.", 1),
]
_MaxStreams = Annotated[int, _limit("--max-streams", "Maximum number of open streams.", 0)]
_MaxConnections = Annotated[
    int,
    option(
        _ADDRESS,
        "--max-connections N",
        "Maximum number of open connections; further requests get status 503.",
        min=1,
    ),
]
_MaxVideoMb = Annotated[float, _limit("--max-video-mb", "Maximum clip size in MB.", 0.001)]
_MaxVideoMinutes = Annotated[float, _limit("--max-video-minutes", "Maximum clip length in minutes.", 0.01)]
_MaxJobs = Annotated[int, _limit("--max-jobs", "Maximum number of waiting and running clips.", 0)]
_Timeout = Annotated[
    float, _limit("--timeout", "Maximum time in seconds to receive a request and respond.", 0.1)
]
_Grace = Annotated[
    float,
    option(
        _ADDRESS,
        "--grace N",
        "Seconds from SIGTERM, when /readyz turns to 503, until the port closes.",
        min=0,
    ),
]
_AuditLog = Annotated[
    Path | None,
    option(_ACCESS, "--audit-log FILE", "Append one JSON line per request to a file: no images, no results."),
]
Notice = Annotated[
    str | None,
    option(_NOTICE, "--notice TEXT", "The notice to people in front of the camera. Default: one in English."),
]
WithoutNotice = Annotated[
    bool,
    option(
        _NOTICE,
        "--without-notice",
        "Show no notice; in the EU, people must be informed in another way (docs/law.md).",
    ),
]


def serve(
    host: _Host = "127.0.0.1",
    port: Port = 8000,
    certificate: _Certificate = None,
    certificate_key: _CertificateKey = None,
    access_log: _AccessLog = False,
    max_connections: _MaxConnections = 512,
    api_key_file: _ApiKeyFile = None,
    without_key: _WithoutKey = False,
    allow_host: _AllowHost = [],  # noqa: B006
    allow_origin: _AllowOrigin = [],  # noqa: B006
    audit_log: _AuditLog = None,
    notice: Notice = None,
    without_notice: WithoutNotice = False,
    model: OnnxModel = DEFAULT,
    labels: Labels = None,
    device: Device = "auto",
    workers: _Workers = None,
    jobs_dir: _JobsDir = None,
    max_body_mb: _MaxBodyMb = 32,
    max_images: _MaxImages = 32,
    max_megapixels: _MaxMegapixels = 50,
    max_waiting: _MaxWaiting = 256,
    max_per_client: _MaxPerClient = 64,
    max_streams: _MaxStreams = 8,
    max_video_mb: _MaxVideoMb = 512,
    max_video_minutes: _MaxVideoMinutes = 60,
    max_jobs: _MaxJobs = 4,
    timeout: _Timeout = 30,
    grace: _Grace = 3,
) -> None:
    """Serve an HTTP API, a WebSocket for video frames, and a web page.

    Images are sent as bytes and are not stored. By default only this machine can reach the server; to open it
    to other machines, set an API key or --without-key. The running server describes its API at /docs.
    """
    from mien.serve.settings import MB, Limits, Settings

    images = Limits(body_bytes=round(max_body_mb * MB), images=max_images, pixels=round(max_megapixels * 1e6))
    counts = replace(images, waiting=max_waiting, per_client=max_per_client, streams=max_streams)
    clips = replace(counts, video_bytes=round(max_video_mb * MB), video_s=60 * max_video_minutes)
    limits = replace(clips, jobs=max_jobs, request_s=timeout, grace_s=grace, connections=max_connections)
    settings = Settings(
        host=host,
        port=port,
        api_key=_api_key(api_key_file),
        without_key=without_key,
        allow_hosts=tuple(allow_host),
        allow_origins=tuple(allow_origin),
        model=model,
        labels=labels and labels.value,
        device=device,
        workers=workers,
        notice=resolve_notice(notice, without_notice),
        audit_log=audit_log,
        jobs_dir=jobs_dir,
        limits=limits,
    )
    start(settings, access_log, certificate, certificate_key, on_listening=partial(_announce, settings))


def start(
    settings: Settings,
    access_log: bool = False,
    certificate: Path | None = None,
    certificate_key: Path | None = None,
    *,
    on_listening: Callable[[str], None],
) -> None:
    """Call `mien.serve.server.run`, and exit with 128 and the number of the signal that stopped it.

    Raises:
        MissingExtra: its packages are not installed.
    """
    try:
        from mien.serve.server import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtra("the server", "serve") from error
    stopped_by = run(
        settings,
        certificate=certificate,
        certificate_key=certificate_key,
        access_log=access_log,
        on_listening=on_listening,
    )
    if stopped_by is not None:
        raise typer.Exit(128 + stopped_by)


def resolve_notice(notice: str | None, without_notice: bool) -> str | None:
    """The notice to show, or None.

    Raises:
        UsageError: both options are given.
    """
    from mien.serve.settings import NOTICE

    if without_notice and notice is not None:
        raise UsageError("--notice and --without-notice exclude each other; give one.")
    return None if without_notice else NOTICE if notice is None else notice


def _api_key(path: Path | None) -> str | None:
    """The key in the file or the environment; not an option, since other users can list command lines."""
    if path is None:
        return os.environ.get(_KEY_VARIABLE) or None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--api-key-file {path} cannot be read: {reason(error)}.") from error
    if not lines or not lines[0].strip():
        raise UsageError(f"--api-key-file {path} has no key on its first line.")
    return lines[0].strip()


def _announce(settings: Settings, url: str) -> None:
    typer.echo(f"Page: {url}\nAPI:  {url}/docs\nStop the server with Ctrl-C.", err=True)
    if settings.api_key:
        typer.echo("Clients must send the API key: Authorization: Bearer KEY", err=True)
