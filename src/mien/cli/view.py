"""`mien view`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.serve import Port
from mien.errors import MissingExtra


def view(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder that mien predict --out wrote.")],
    clips: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Look for the clips in this folder, by their file names. Default: where they were analyzed.",
            rich_help_panel="Clips",
        ),
    ] = None,
    port: Port = 0,
    browser: Annotated[
        bool,
        typer.Option(help="Open the page in the browser.", rich_help_panel="Address"),
    ] = True,
) -> None:
    """Check the results of a study beside its clips, and correct them, in the browser.

    This starts a server that only this machine can reach, and opens its page; ? on the page lists all keys.
    Each correction is written to STUDY/corrections.json at once; the tables are written again when you save
    them, or by mien predict --apply STUDY/corrections.json --out STUDY. Stop it with Ctrl-C.
    """
    try:
        from mien.serve.viewer.app import run_viewer
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtra("the viewer", "video,serve") from error

    def open_page(url: str) -> None:
        typer.echo(f"Page: {url}\nStop the server with Ctrl-C.", err=True)
        if browser and not webbrowser.open(url):
            typer.echo("No browser could be opened. Open this address in yours.", err=True)

    stopped_by = run_viewer(study, clips, port, open_page)
    if stopped_by is not None:
        raise typer.Exit(128 + stopped_by)
