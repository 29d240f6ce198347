"""`mien serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mien.cli.options import LabelSet
from mien.errors import MissingExtra, UsageError
from mien.models.registry import DEFAULT

if TYPE_CHECKING:
    from mien.serve.settings import Settings

_KEY_VARIABLE = "MIEN_API_KEY"


def serve(
    host: str = typer.Option("127.0.0.1", help="The address to listen on; 0.0.0.0 for every network."),
    port: int = typer.Option(8000, min=0, max=65535, help="The port; 0 takes a free one."),
    api_key_file: Path | None = typer.Option(
        None, help=f"A file whose first line is the key that clients must show. Else {_KEY_VARIABLE} is used."
    ),
    without_key: bool = typer.Option(
        False,
        "--without-key",
        help="Let other machines in without a key; everyone who reaches it may use it.",
    ),
    allow_host: list[str] = typer.Option([], help="A further name that clients may call this server by."),
    allow_origin: list[str] = typer.Option(
        [], help="A site, such as https://example.org, whose pages may use it."
    ),
    model: str = typer.Option(
        DEFAULT, help="A shipped model (see `mien models`) or the path of an ONNX file."
    ),
    labels: LabelSet | None = typer.Option(
        None, help="The label set where a request names none; by default the model's."
    ),
    device: str = typer.Option("auto", help="Where the model runs: auto, cpu, cuda or coreml."),
    workers: int | None = typer.Option(
        None, min=1, help="Pictures read at the same time; one a core if not given."
    ),
    max_body_mb: float = typer.Option(32, min=0.001, help="Most megabytes of a request with pictures."),
    max_pictures: int = typer.Option(32, min=1, help="Most pictures in a request."),
    max_megapixels: float = typer.Option(50, min=0.001, help="Most megapixels of a picture."),
    max_waiting: int = typer.Option(256, min=1, help="Most pictures that wait; beyond, requests get a 503."),
    max_per_client: int = typer.Option(
        64, min=1, help="Most open requests of one address; beyond, it gets a 429."
    ),
    max_streams: int = typer.Option(8, min=0, help="Most streams open at once."),
    max_video_mb: float = typer.Option(512, min=0.001, help="Most megabytes of a clip."),
    max_video_minutes: float = typer.Option(60, min=0.01, help="Longest clip."),
    max_jobs: int = typer.Option(4, min=0, help="Most clips that wait or are read."),
    timeout: float = typer.Option(30, min=0.1, help="Seconds to receive a request and answer it."),
    certificate: Path | None = typer.Option(None, help="Serve HTTPS with this certificate (PEM)."),
    certificate_key: Path | None = typer.Option(None, help="The certificate's private key (PEM)."),
    access_log: bool = typer.Option(False, "--access-log", help="Print a line a request."),
) -> None:
    """Serve the analyzer: an HTTP API, a WebSocket for moving faces, and the page.

    Pictures come as bytes and are not stored. By default only this machine can reach it; letting others in
    asks for a key, or for --without-key by name. The API is described at /docs of the running server.
    """
    from mien.serve.settings import MB, Limits, Settings

    limits = Limits(
        body_bytes=round(max_body_mb * MB),
        pictures=max_pictures,
        pixels=round(max_megapixels * 1e6),
        waiting=max_waiting,
        per_client=max_per_client,
        streams=max_streams,
        video_bytes=round(max_video_mb * MB),
        video_s=60 * max_video_minutes,
        jobs=max_jobs,
        request_s=timeout,
    )
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
        limits=limits,
    )
    start(
        settings,
        certificate=certificate,
        certificate_key=certificate_key,
        access_log=access_log,
        when_listening=lambda address: _announce(address, settings.api_key is not None),
    )


def start(settings: Settings, **options: Any) -> None:
    """`mien.serve.server.run`, with a word where its packages are missing."""
    try:
        from mien.serve.server import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtra("the server", "serve") from error
    run(settings, **options)


def _api_key(path: Path | None) -> str | None:
    """The key in the file, else in the environment; never on the command line, which others can list."""
    if path is None:
        return os.environ.get(_KEY_VARIABLE) or None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--api-key-file {path} cannot be read: {error}.") from error
    if not lines or not lines[0].strip():
        raise UsageError(f"--api-key-file {path} has no key on its first line.")
    return lines[0].strip()


def _announce(address: str, keyed: bool) -> None:
    typer.echo(f"mien serves at {address}  (API: {address}/docs, stop with Ctrl-C)", err=True)
    if keyed:
        typer.echo("Clients must show the key: Authorization: Bearer KEY", err=True)
