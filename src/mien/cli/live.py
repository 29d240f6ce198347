"""`mien live`."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from mien.cli.options import Device, OnnxModel
from mien.cli.serve import Labels, Notice, Port, WithoutNotice, resolve_notice, start
from mien.models.registry import DEFAULT


def live(
    port: Port = 0,
    browser: Annotated[
        bool,
        typer.Option(help="Open the page in the browser.", rich_help_panel="Address"),
    ] = True,
    model: OnnxModel = DEFAULT,
    labels: Labels = None,
    device: Device = "auto",
    notice: Notice = None,
    without_notice: WithoutNotice = False,
) -> None:
    """Show the expressions of faces in front of the camera, in the browser.

    This starts a server that only this machine can reach, and opens its page. The page starts the camera only
    after you agree. Frames stay in memory; nothing is stored unless you save it. Stop it with Ctrl-C.
    """
    from mien.serve.settings import Settings

    def open_page(url: str) -> None:
        typer.echo(f"Page: {url}\nStop the server with Ctrl-C.", err=True)
        if browser and not webbrowser.open(url):
            typer.echo("No browser could be opened. Open this address in yours.", err=True)

    settings = Settings(
        port=port,
        model=model,
        labels=labels and labels.value,
        device=device,
        notice=resolve_notice(notice, without_notice),
    )
    start(settings, on_listening=open_page)
