"""The `mien` command: collects the verbs and turns errors into messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import typer

from mien import __version__
from mien.cli import (
    audit,
    batch,
    compare,
    explain,
    explore,
    export,
    live,
    models,
    page,
    report,
    serve,
    study,
    verify,
    view,
)
from mien.cli.data import command as data
from mien.cli.doctor import command as doctor
from mien.cli.evaluate import command as evaluate
from mien.cli.help import HelpfulCommand, HelpfulGroup
from mien.cli.predict import command as predict
from mien.cli.train import command as train
from mien.errors import MienError
from mien.names import shown, shown_text

app = typer.Typer(
    name="mien",
    cls=HelpfulGroup,
    help="Read the apparent expression of faces; train and measure the models that do. "
    "It reads how a face looks, not what a person feels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The commands, by the title under which `mien --help` lists them.
_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Read faces": (predict.predict, view.view, live.live, page.page, serve.serve),
    "Inspect data": (explore.explore, audit.audit),
    "Train and measure": (
        train.train,
        evaluate.evaluate,
        compare.compare,
        explain.explain,
        export.export,
        verify.verify,
        study.study,
        report.report,
    ),
    "Installation": (models.models, doctor.doctor),
}
for _panel, _commands in _COMMANDS.items():
    if _panel == "Read faces":
        app.add_typer(batch.app, name="batch", rich_help_panel=_panel)
    if _panel == "Inspect data":
        app.add_typer(data.app, name="data", rich_help_panel=_panel)
    for _command in _commands:
        app.command(cls=HelpfulCommand, rich_help_panel=_panel)(_command)


# The exit code after Ctrl-C; that after another signal is 128 and its number.
_INTERRUPTED = 128 + signal.SIGINT


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """The options of `mien` itself."""


def main() -> None:
    """Run the command line; an error becomes one message on stderr and an exit code."""
    with _terminable() as signals:
        code = _run()
    if signals and code == _INTERRUPTED:
        code = 128 + signals[0]
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        code = code or _report(f"the output cannot be written: {_reason(error)}", MienError.exit_code)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries again as it ends
    sys.exit(code)


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """Let SIGTERM do what Ctrl-C does: what was read is kept. It is in the list if it came.

    Commands that handle the signal themselves, as training and the service do, take precedence.
    """
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def _run() -> Any:
    """The exit code of the command, after its message if it failed."""
    if not _prepare_streams():
        return _report(
            "stdout is closed. Redirect it, to /dev/null if nothing is to be printed.", MienError.exit_code
        )
    try:
        app()
    except SystemExit as ended:
        return ended.code
    except MienError as error:
        return _report(str(error), error.exit_code)
    except OSError as error:
        name = f"{shown(error.filename)}: " if error.filename is not None else ""
        return _report(f"{name}{_reason(error)}", MienError.exit_code)
    except UnicodeError as error:
        return _report(f"text that cannot be decoded or encoded: {error}.", MienError.exit_code)
    except MemoryError:
        return _report("the memory is full. Give less at a time.", MienError.exit_code)
    return 0


def _prepare_streams() -> bool:
    """Let stdout and stderr print what their encoding lacks as "?"; False if stdout is closed."""
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a title in a script that the font lacks
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    return sys.stdout is not None


def _report(message: str, code: int) -> int:
    if sys.stderr is not None:
        with suppress(OSError):  # nothing is left to report it to
            typer.echo(f"error: {shown_text(message)}", err=True)
    return code


_REMEDIES = {
    errno.ENOSPC: "the disk is full. Free some space, or write elsewhere.",
    errno.EROFS: "the disk is read-only. Write elsewhere.",
    errno.EACCES: "no permission. Change the permissions, or use another place.",
    errno.EPERM: "no permission. Change the permissions, or use another place.",
}


def _reason(error: OSError) -> str:
    """What the system refused, and the remedy where one is known."""
    return _REMEDIES.get(error.errno or 0) or f"{error.strerror or error}."


if __name__ == "__main__":
    main()
