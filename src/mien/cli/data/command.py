"""`mien data`: inspect labelled faces, convert and download them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from mien.cli import options
from mien.cli.help import HelpfulCommand, HelpfulGroup
from mien.cli.options import option
from mien.errors import UsageError
from mien.files import kind_of_path

if TYPE_CHECKING:
    from mien.data.table import FaceTable

app = typer.Typer(
    cls=HelpfulGroup, help="Inspect, convert and download labelled faces.", no_args_is_help=True
)


class Contempt(StrEnum):
    """What becomes of faces of contempt, for which FER2013 has no class."""

    drop = "drop"
    keep = "keep"


_READING = "Reading"

Strict: TypeAlias = Annotated[
    bool, option(_READING, "--strict", "Stop at the first problem instead of listing it.")
]
ContemptOption: TypeAlias = Annotated[
    Contempt,
    option(
        _READING,
        "--contempt drop|keep",
        "What to do with faces of contempt, which FER2013 does not have.",
    ),
]
Size: TypeAlias = Annotated[
    int,
    option(_READING, "--size PIXELS", "Width and height to which images and faces in Parquet are resized."),
]
Cache: TypeAlias = Annotated[
    bool,
    option(_READING, "--cache/--no-cache", "Keep the table in the cache, and read it from there next time."),
]
Problems: TypeAlias = Annotated[
    int, option(options.OUTPUT, "--problems N", "Number of problems to list.", min=0)
]
ParquetFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="OUT.parquet", help="The Parquet file to write.")
]
Decisions: TypeAlias = Annotated[
    Path | None,
    option(
        _READING,
        "--apply CSV",
        "Decisions saved in the gallery of mien audit: faces to leave out and to relabel.",
    ),
]
Replace: TypeAlias = Annotated[bool, option(options.OUTPUT, "--force", "Replace an existing file.")]
FetchFolder: TypeAlias = Annotated[
    Path, option("", "--out,-o DIR", "Folder to download to; created if missing.")
]
FetchAgain: TypeAlias = Annotated[bool, option("", "--force", "Download even if the file exists.")]


@app.command(cls=HelpfulCommand)
def info(
    path: options.DataArgument,
    votes: options.Votes = None,
    label_map: options.LabelMapOption = None,
    strict: Strict = False,
    contempt: ContemptOption = Contempt.drop,
    size: Size = 48,
    cache: Cache = True,
    problems: Problems = 10,
    as_json: options.Json = False,
) -> None:
    """Show the contents of a source: its first rows, counts by class and split, and its problems."""
    from mien.cli.data.tables import as_document, print_tables

    table = _load(path, votes, label_map, strict=strict, contempt=contempt.value, size=size, cache=cache)
    if as_json:
        typer.echo(json.dumps(as_document(table, problems), indent=2))
    else:
        print_tables(table, problems)


@app.command(cls=HelpfulCommand)
def convert(
    path: options.DataArgument,
    out: ParquetFile,
    votes: options.Votes = None,
    label_map: options.LabelMapOption = None,
    strict: Strict = False,
    contempt: ContemptOption = Contempt.drop,
    size: Size = 48,
    cache: Cache = True,
    apply: Decisions = None,
    force: Replace = False,
) -> None:
    """Write a source as Parquet in Hugging Face's layout: lossless pixels, labels, split, row and votes."""
    from mien.data.parquet import write_parquet

    if out.suffix.lower() != ".parquet":
        raise UsageError(f"{out} does not end in .parquet, the only format that is written. Rename it.")
    if kind_of_path(out, UsageError) != "nothing" and not force:
        raise UsageError(f"{out} exists. Choose another name, or replace it with --force.")
    if kind_of_path(out.absolute().parent, UsageError) != "folder":
        raise UsageError(f"{out} cannot be written: there is no folder {out.parent}. Create it first.")
    table = _load(path, votes, label_map, strict=strict, contempt=contempt.value, size=size, cache=cache)
    written = table if apply is None else _apply(table, apply)
    write_parquet(written, out)
    typer.echo(f"{out}: {len(written):,} faces, {out.stat().st_size / 1e6:,.1f} MB")
    if table.problems:
        typer.echo(
            f"{len(table.problems):,} problems, {table.refused:,} rows of the source refused. "
            f"List them with: mien data info {path}",
            err=True,
        )


@app.command(cls=HelpfulCommand)
def fetch(out: FetchFolder = Path("fer2013"), force: FetchAgain = False) -> None:
    """Download FER2013 from Kaggle with your own account, and verify it.

    Needs a Kaggle account; without credentials, the message explains how to get them. A download that was
    cut continues where it stopped. An existing file is verified and kept. Hashes and row counts are written
    to manifest.json beside the file.
    """
    from mien.data.kaggle import fetch as kaggle

    fetched = kaggle.fetch(out, force=force)
    manifest = fetched.manifest
    rows = ", ".join(f"{count:,} {split}" for split, count in manifest.rows.items())
    typer.echo(f"{'fetched and verified' if fetched.downloaded else 'exists, verified'}: {fetched.path}")
    typer.echo(f"  {manifest.bytes / 1e6:,.1f} MB, SHA-256 {manifest.sha256}")
    typer.echo(f"  {sum(manifest.rows.values()):,} faces: {rows}")
    typer.echo(f"next: mien data info {fetched.path}")


def _apply(table: FaceTable, path: Path) -> FaceTable:
    """The table after the decisions in a file, whose counts are printed."""
    from mien.auditing.findings import apply, read_decisions

    decisions = read_decisions(path)
    kinds = [each.decision for each in decisions]
    typer.echo(
        f"{path}: {kinds.count('accept'):,} faces left out, {kinds.count('relabel'):,} relabelled, "
        f"{kinds.count('reject'):,} findings rejected"
    )
    return apply(table, decisions)


def _load(path: str, votes: Path | None, mapping: str | None, **how: Any) -> FaceTable:
    from mien.data import load
    from mien.data.folders.labels import NO_MAP, label_map

    return load(path, votes=votes, mapping=label_map(mapping) if mapping else NO_MAP, **how)
