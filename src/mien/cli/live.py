"""`mien live`."""

from __future__ import annotations

import webbrowser

import typer

from mien.cli.options import LabelSet
from mien.cli.serve import start
from mien.models.registry import DEFAULT


def live(
    model: str = typer.Option(
        DEFAULT, help="A shipped model (see `mien models`) or the path of an ONNX file."
    ),
    labels: LabelSet | None = typer.Option(
        None, help="The label set to begin with; by default the model's. The page can change it."
    ),
    device: str = typer.Option("auto", help="Where the model runs: auto, cpu, cuda or coreml."),
    port: int = typer.Option(0, min=0, max=65535, help="The port; 0 takes a free one."),
    browser: bool = typer.Option(True, help="Open the page in the browser; else only print its address."),
) -> None:
    """Read faces before the camera, in a page in the browser.

    Starts a server that only this machine can reach and opens its page. The page asks before it starts the
    camera; frames stay in memory, and nothing is stored unless you save it. Ctrl-C ends it.
    """
    from mien.serve.settings import Settings

    def open_page(address: str) -> None:
        typer.echo(f"The page is at {address}  (Ctrl-C ends it)", err=True)
        if browser and not webbrowser.open(address):
            typer.echo("No browser could be opened; open that address in yours.", err=True)

    settings = Settings(port=port, model=model, labels=labels and labels.value, device=device)
    start(settings, when_listening=open_page)
