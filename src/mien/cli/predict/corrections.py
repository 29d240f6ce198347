"""`mien predict --apply corrections.json --out study/`."""

from __future__ import annotations

from pathlib import Path

import typer

from mien.errors import UsageError
from mien.names import shown

# What may stand beside --apply on the command line.
_BESIDE = ("apply", "out")


def apply_alone(
    context: typer.Context, sources: list[str] | None, corrections: Path | None, out: str | None
) -> None:
    """Apply corrections to a study if they are given, and end the command then.

    Raises:
        typer.Exit: they are applied.
        UsageError: neither sources nor corrections, or corrections with a source, with another option or
            without a folder.
        CorrectionError: the corrections cannot be used, or do not fit the study.
    """
    if corrections is None:
        if not sources:
            raise UsageError("no SOURCE is given. Name photos or clips, such as clip.mp4.")
        return
    others = _other_options(context)
    if sources or not out or others:
        extra = f"; leave out {others[0]}" if others else ""
        raise UsageError(f"--apply needs a study as --out, and no SOURCE{extra}: it reads no clip.")
    from mien.video.study.rewrite import apply_corrections

    apply_corrections(Path(out), corrections)
    typer.echo(f"applied {shown(corrections)} to {shown(out)}")
    raise typer.Exit


def _other_options(context: typer.Context) -> list[str]:
    """The options that were given on the command line besides those of corrections."""
    given = [
        parameter
        for parameter in context.command.params
        if parameter.name not in (*_BESIDE, "sources")
        and (source := context.get_parameter_source(str(parameter.name))) is not None
        and source.name == "COMMANDLINE"
    ]
    return [parameter.opts[0] for parameter in given]
