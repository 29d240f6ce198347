"""`mien batch`: what a data set of photos and clips holds, and its parts as one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from mien.cli import options
from mien.cli.help import HelpfulCommand, HelpfulGroup
from mien.names import json_text, shown

if TYPE_CHECKING:
    from mien.batch.overview import Status

app = typer.Typer(
    name="batch",
    cls=HelpfulGroup,
    help="Inspect and join data sets of photos and clips, as `mien predict --out FOLDER` writes them.",
    no_args_is_help=True,
)

Folder: TypeAlias = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the data set.")]


@app.command(cls=HelpfulCommand)
def status(folder: Folder, as_json: options.Json = False) -> None:
    """Print how many files and faces a data set holds by now, and which files could not be read."""
    from dataclasses import asdict

    from mien.batch.overview import kinds_of
    from mien.batch.overview import status as read

    several = {kind: read(folder, kind) for kind in kinds_of(folder)}
    if as_json:
        images = several.pop("images", None)
        content = asdict(images) if images else {}
        content |= {kind: asdict(found) for kind, found in several.items()}
        typer.echo(json_text(content, indent=2))
        return
    for kind, found in several.items():
        _print(folder, kind, found)


def _print(folder: Path, kind: str, found: Status) -> None:
    """Print what a data set holds of photos, or of clips."""
    model: dict[str, Any] = found.manifest["model"]
    failed = sum(found.errors.values())
    faces = f"{found.faces:,} faces" if kind == "images" else f"{found.faces:,} rows with a face"
    what = "files" if kind == "images" else "clips"
    typer.echo(f"{shown(folder)}: {found.files:,} {what}, {faces}, {failed:,} cannot be read")
    for source, (done, count) in found.ranges.items():
        typer.echo(f"{shown(source)}: {done} of {count} ranges read")
    typer.echo(f"model {model['name']}, head {model['head']['name']}, mien {found.manifest['mien']}")
    for shard, files in found.shards.items():
        typer.echo(f"{f'shard {shard}' if shard else 'without shards'}: {files:,} {what}")
    for error, count in found.errors.items():
        typer.echo(f"{error}: {count:,} {what}")
    for source, error, message in found.failures:
        typer.echo(f"  {shown(source)}: {error}: {shown(message)}")
    if failed > len(found.failures):
        typer.echo(f"  and {failed - len(found.failures):,} more: rows of {folder}/{kind} with an error")


@app.command(cls=HelpfulCommand)
def merge(folder: Folder) -> None:
    """Write all rows of a data set as one table: images.csv and images.parquet, or clips.*, in its folder.

    Ranges of long clips are joined before, where all of them have been read.
    """
    from mien.batch.clips import merge_clips
    from mien.batch.dataset import DataSet
    from mien.batch.overview import kinds_of

    for kind in kinds_of(folder):
        parts, waiting = merge_clips(folder) if kind == "clips" else (DataSet(folder).merge(), 0)
        whole = folder / kind
        typer.echo(f"{parts:,} parts in {shown(f'{whole}.parquet')} and {shown(f'{whole}.csv')}")
        if waiting:
            typer.echo(f"{waiting:,} clips lack ranges and are not in the tables yet")
