"""The `mien` command: collects the verbs and turns errors into messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from mien import __version__
from mien.cli import audit, compare, explain, explore, export, live, models, serve, study, verify
from mien.cli.data import command as data
from mien.cli.doctor import command as doctor
from mien.cli.evaluate import command as evaluate
from mien.cli.help import HelpfulCommand, HelpfulGroup
from mien.cli.predict import command as predict
from mien.cli.train import command as train
from mien.errors import MienError

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
    "Read faces": (predict.predict, live.live, serve.serve),
    "Inspect data": (explore.explore, audit.audit),
    "Train and measure": (
        train.train,
        evaluate.evaluate,
        compare.compare,
        explain.explain,
        export.export,
        verify.verify,
        study.study,
    ),
    "Installation": (models.models, doctor.doctor),
}
for _panel, _commands in _COMMANDS.items():
    if _panel == "Inspect data":
        app.add_typer(data.app, name="data", rich_help_panel=_panel)
    for _command in _commands:
        app.command(cls=HelpfulCommand, rich_help_panel=_panel)(_command)


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
    """Run the command line; a MienError becomes one message on stderr and its exit code."""
    try:
        app()
    except MienError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
