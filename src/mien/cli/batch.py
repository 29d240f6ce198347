"""`mien batch`: what a data set of photos holds, and its parts as one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from mien.cli import options
from mien.cli.help import HelpfulCommand, HelpfulGroup
from mien.names import json_text, shown

app = typer.Typer(
    name="batch",
    cls=HelpfulGroup,
    help="Inspect and join data sets of photos, as `mien predict --out FOLDER` writes them.",
    no_args_is_help=True,
)

Folder: TypeAlias = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the data set.")]


@app.command(cls=HelpfulCommand)
def status(folder: Folder, as_json: options.Json = False) -> None:
    """Print how many files and faces a data set holds by now, and which files could not be read."""
    from dataclasses import asdict

    from mien.batch.overview import status as read

    found = read(folder)
    if as_json:
        typer.echo(json_text(asdict(found), indent=2))
        return
    model: dict[str, Any] = found.manifest["model"]
    failed = sum(found.errors.values())
    typer.echo(f"{shown(folder)}: {found.files:,} files, {found.faces:,} faces, {failed:,} cannot be read")
    typer.echo(f"model {model['name']}, head {model['head']['name']}, mien {found.manifest['mien']}")
    for shard, files in found.shards.items():
        typer.echo(f"{f'shard {shard}' if shard else 'without shards'}: {files:,} files")
    for kind, count in found.errors.items():
        typer.echo(f"{kind}: {count:,} files")
    for source, kind, message in found.failures:
        typer.echo(f"  {shown(source)}: {kind}: {shown(message)}")
    if failed > len(found.failures):
        typer.echo(f"  and {failed - len(found.failures):,} more: rows of {folder}/images with an error")


@app.command(cls=HelpfulCommand)
def merge(folder: Folder) -> None:
    """Write all rows of a data set as one table: images.csv and images.parquet in its folder."""
    from mien.batch.dataset import DataSet

    parts = DataSet(folder).merge()
    typer.echo(f"{parts:,} parts in {shown(folder / 'images.parquet')} and {shown(folder / 'images.csv')}")
