"""`mien data`: look at labelled faces, convert and download them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.cli.help import HelpfulCommand, HelpfulGroup
from mien.errors import UsageError

if TYPE_CHECKING:
    from mien.data.table import FaceTable

app = typer.Typer(
    cls=HelpfulGroup, help="Inspect, convert and download labelled faces.", no_args_is_help=True
)


class Contempt(StrEnum):
    """What becomes of faces of contempt, for which FER2013 has no class."""

    drop = "drop"
    keep = "keep"


_SOURCE = typer.Argument(
    help="FER2013's CSV, plain or packed; Parquet; a folder with one folder a class; or 'synthetic'.",
    metavar="PATH",
)
_VOTES = typer.Option(None, help="FER+'s fer2013new.csv, joined by row.")
_STRICT = typer.Option(
    False, "--strict", help="Stop at the first thing that is wrong, instead of listing it."
)
_CONTEMPT = typer.Option(Contempt.drop, help="Faces of contempt, which FER2013 does not have.")
_SIZE = typer.Option(48, help="Width and height that pictures and Parquet are brought to.")
_CACHE = typer.Option(True, "--cache/--no-cache", help="Keep what was read under the hash of the source.")


@app.command(cls=HelpfulCommand)
def info(
    path: str = _SOURCE,
    votes: Path | None = _VOTES,
    strict: bool = _STRICT,
    contempt: Contempt = _CONTEMPT,
    size: int = _SIZE,
    cache: bool = _CACHE,
    problems: int = typer.Option(10, min=0, help="How many problems to list."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of tables."),
) -> None:
    """Show what a source holds: its first rows, counts by class and split, and what is wrong with it."""
    from mien.cli.data.tables import as_document, print_tables

    table = _load(path, votes, strict, contempt, size, cache)
    if as_json:
        import json

        typer.echo(json.dumps(as_document(table, problems), indent=2, ensure_ascii=False))
    else:
        print_tables(table, problems)


@app.command(cls=HelpfulCommand)
def convert(
    path: str = _SOURCE,
    out: Path = typer.Argument(help="The Parquet file to write.", metavar="OUT.parquet"),
    votes: Path | None = _VOTES,
    strict: bool = _STRICT,
    contempt: Contempt = _CONTEMPT,
    size: int = _SIZE,
    cache: bool = _CACHE,
    force: bool = typer.Option(False, "--force", help="Replace the file if it is there."),
    apply: Path | None = typer.Option(
        None,
        help="Decisions that the gallery of mien audit saved: leave out and relabel those faces.",
        metavar="CSV",
    ),
) -> None:
    """Write a source as Parquet in Hugging Face's layout: pixels without loss, split, row and votes too."""
    from mien.data.parquet import write_parquet

    if out.suffix.lower() != ".parquet":
        raise UsageError(f"{out} does not end in .parquet, the one format that is written. Rename it.")
    if out.exists() and not force:
        raise UsageError(f"{out} is already there. Choose another name, or replace it with --force.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out} cannot be written: there is no folder {out.parent}. Create it first.")
    table = _load(path, votes, strict, contempt, size, cache)
    written = table if apply is None else _decided(table, apply)
    write_parquet(written, out)
    refused = sum(problem.refused for problem in table.problems)
    typer.echo(f"{out}: {len(written):,} faces, {out.stat().st_size / 1e6:,.1f} MB")
    if table.problems:
        typer.echo(
            f"{refused:,} rows of the source were refused, {len(table.problems):,} problems in all; "
            f"see them with: mien data info {path}",
            err=True,
        )


def _decided(table: FaceTable, decisions: Path) -> FaceTable:
    """The table as a person decided, said in a line."""
    from mien.auditing.findings import apply, read_decisions

    made = read_decisions(decisions)
    counts = {kind: sum(each.decision == kind for each in made) for kind in ("accept", "relabel", "reject")}
    typer.echo(
        f"{decisions}: {counts['accept']:,} faces left out, {counts['relabel']:,} relabelled, "
        f"{counts['reject']:,} findings rejected"
    )
    return apply(table, made)


def _load(
    path: str, votes: Path | None, strict: bool, contempt: Contempt, size: int, cache: bool
) -> FaceTable:
    from mien.data import load

    return load(path, votes=votes, strict=strict, contempt=contempt.value, size=size, cache=cache)


@app.command(cls=HelpfulCommand)
def fetch(
    out: Path = typer.Option(Path("fer2013"), "--out", "-o", help="Folder to put it into; made if need be."),
    force: bool = typer.Option(False, "--force", help="Download even if the file is already there."),
) -> None:
    """Download FER2013 from Kaggle under your own account, and verify it.

    Needs a Kaggle account; without credentials, it says how to get them.

    A download that was cut goes on where it stopped; a file that is there is verified and kept.

    Hashes and row counts go into manifest.json beside the file.
    """
    from mien.data.kaggle import fetch as kaggle

    got = kaggle.fetch(out, force=force)
    manifest = got.manifest
    rows = ", ".join(f"{count:,} {split}" for split, count in manifest.rows.items())
    typer.echo(f"{'fetched and verified' if got.downloaded else 'already there, verified'}: {got.path}")
    typer.echo(f"  {manifest.bytes / 1e6:,.1f} MB, SHA-256 {manifest.sha256}")
    typer.echo(f"  {sum(manifest.rows.values()):,} faces: {rows}")
    typer.echo(f"next: mien data info {got.path}")
