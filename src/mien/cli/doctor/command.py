"""`mien doctor`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import typer

from mien.cli import options

if TYPE_CHECKING:
    from mien.cli.doctor.machine import Machine


def doctor(as_json: options.Json = False) -> None:
    """Check this machine: versions, devices, models, cameras, Kaggle credentials, and speed.

    The exit code is 1 if anything that mien predict needs is missing or broken.
    """
    from mien.cli.doctor.machine import inspect_machine

    machine = inspect_machine()
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(machine), indent=2))
    else:
        _print(machine)
    if machine.problems:
        raise typer.Exit(1)


def _print(machine: Machine) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, value in _lines(machine):
        table.add_row(name, Text(value))
    console = Console(highlight=False)
    console.print(table)
    for problem in machine.problems:
        console.print(f"problem: {problem}", style="red", markup=False, soft_wrap=True)
    if not machine.problems:
        console.print("Everything that mien predict needs is installed.", style="green")


def _lines(machine: Machine) -> list[tuple[str, str]]:
    """The names and values of the table."""
    lines = [
        ("mien", machine.mien),
        ("Python", f"{machine.python} on {machine.system}"),
        ("cores", str(machine.cores)),
        *((name, version or "not installed") for name, version in machine.packages.items()),
        ("ONNX Runtime runs on", ", ".join(machine.providers) or "nothing"),
    ]
    for model in machine.models:
        state = "matches its card" if model.intact else "DOES NOT MATCH ITS CARD"
        lines.append((f"model {model.name}", f"{state}, sha256 {model.sha256[:16]}\u2026"))
    cameras = (
        "not checked on this system" if machine.cameras is None else ", ".join(machine.cameras) or "none"
    )
    return [
        *lines,
        ("cameras", cameras),
        (
            "Kaggle credentials",
            f"found in {machine.kaggle}" if machine.kaggle else "none (only for mien data fetch)",
        ),
        ("detecting faces, 640x480", _ms(machine.detect_ms)),
        ("reading one face", _ms(machine.classify_ms)),
    ]


def _ms(value: float | None) -> str:
    return "not possible" if value is None else f"{value:.1f} ms"
