"""`mien live`."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from typing import Annotated

import typer

from mien.cli.options import MODEL, Device, OnnxModel
from mien.cli.serve import Labels, Notice, Port, WithoutNotice, resolve_notice, start
from mien.errors import UsageError
from mien.models.registry import DEFAULT


def live(
    port: Port = 0,
    browser: Annotated[
        bool,
        typer.Option(help="Open the page in the browser.", rich_help_panel="Address"),
    ] = True,
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="Run the models in the browser: frames do not leave it. Needs no server packages.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    model: OnnxModel = DEFAULT,
    labels: Labels = None,
    device: Device = "auto",
    notice: Notice = None,
    without_notice: WithoutNotice = False,
) -> None:
    """Show the expressions of faces in front of the camera, in the browser.

    This starts a server that only this machine can reach, and opens its page. The page starts the camera only
    after you agree. Frames stay in memory; nothing is stored unless you save it. With --local, frames do not
    leave the browser. Stop it with Ctrl-C.
    """
    from mien.serve.settings import Settings

    def open_page(url: str) -> None:
        typer.echo(f"Page: {url}\nStop the server with Ctrl-C.", err=True)
        if browser and not webbrowser.open(url):
            typer.echo("No browser could be opened. Open this address in yours.", err=True)

    if local:
        _run_local(
            port, model, labels and labels.value, device, resolve_notice(notice, without_notice), open_page
        )
        return
    settings = Settings(
        port=port,
        model=model,
        labels=labels and labels.value,
        device=device,
        notice=resolve_notice(notice, without_notice),
    )
    start(settings, on_listening=open_page)


def _run_local(
    port: int,
    model: str,
    labels: str | None,
    device: str,
    notice: str | None,
    on_listening: Callable[[str], None],
) -> None:
    """Hand out the page; the model comes first, and those that ship can be chosen too."""
    from mien.models.registry import shipped
    from mien.serve.static_page.local import run_local
    from mien.serve.static_page.site import SiteOptions

    if device not in ("auto", "cpu"):
        raise UsageError(
            f"--local runs the models in the browser, on its CPU; --device {device} is not possible."
        )
    models = (model, *(name for name in shipped() if name != model))
    run_local(SiteOptions(models, labels, notice, offline=False), port, on_listening)
