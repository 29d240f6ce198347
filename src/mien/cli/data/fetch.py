"""`mien data fetch`."""

from __future__ import annotations

from pathlib import Path

import typer


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
