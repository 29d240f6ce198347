"""How `--help` reads: options in named panels, one style for all commands, whole words at 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from mien.names import shown

# Longer lines are harder to read, however wide the terminal.
_WIDEST = 110
_NARROWEST = 80
_LONGEST_MESSAGE = 1000


@contextmanager
def _short_messages() -> Iterator[None]:
    """Errors about arguments with these shortened and safe to print: they may be a whole file, as base64."""
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = shown(message, _LONGEST_MESSAGE)  # type: ignore[attr-defined]
        raise


class HelpfulCommand(TyperCommand):
    """A command whose help is written by `print_help`."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments."""
        with _short_messages():
            return super().make_context(*arguments, **options)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the help."""
        print_help(self, ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the name of the command in the usage line."""
        return usage_pieces(self, ctx)


class HelpfulGroup(TyperGroup):
    """The same for a command with commands of its own."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments before the command."""
        with _short_messages():
            return super().make_context(*arguments, **options)

    def resolve_command(self, *arguments: Any) -> Any:
        """Find the command."""
        with _short_messages():
            return super().resolve_command(*arguments)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the help."""
        print_help(self, ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the name of the command in the usage line."""
        return [*usage_pieces(self, ctx), "COMMAND [ARGS]..."]


def usage_pieces(command: Any, ctx: Any) -> list[str]:
    """``["[OPTIONS]", "SOURCE..."]``: optional arguments are in brackets."""
    arguments = [each for each in command.get_params(ctx) if each.param_type_name == "argument"]
    names = [
        name if each.required or name.startswith("[") else f"[{name}]"
        for each in arguments
        for name in [metavar(each)]
    ]
    return ["[OPTIONS]", *names]


def print_help(command: Any, ctx: Any) -> None:
    """Print usage, description, and one panel for each group of arguments, options and commands."""
    console = Console(highlight=False)
    console.width = min(max(console.width, _NARROWEST), _WIDEST)
    panels: dict[str, list[tuple[Text, Text]]] = {}
    for name, child in getattr(command, "commands", {}).items():
        title = getattr(child, "rich_help_panel", None)
        title = title if isinstance(title, str) else "Commands"
        panels.setdefault(title, []).append((Text(name, style="bold cyan"), Text(paragraphs(child.help)[0])))
    shown = [each for each in command.get_params(ctx) if not getattr(each, "hidden", False)]
    # --help closes the list.
    for parameter in sorted(shown, key=lambda each: "--help" in each.opts):
        panels.setdefault(panel_of(parameter), []).append((_names(parameter), _explained(parameter)))
    usage = " ".join(["Usage:", ctx.command_path, *command.collect_usage_pieces(ctx)])
    console.print(Text(usage, style="bold"))
    console.print()
    for paragraph in paragraphs(command.help):
        console.print(Text(paragraph), end="\n\n")
    width = max((len(name) for rows in panels.values() for name, _ in rows), default=0)
    console.print(Group(*(_panel(title, rows, width) for title, rows in panels.items())))


def panel_of(parameter: Any) -> str:
    """The title of the panel in which a parameter is listed."""
    if isinstance(title := getattr(parameter, "rich_help_panel", None), str):
        return title
    if parameter.param_type_name == "argument":
        return "Arguments"
    return "Options"


def paragraphs(text: str | None) -> list[str]:
    """The paragraphs of a help text, each on one line; at least one."""
    return [" ".join(each.split()) for each in (text or "").split("\n\n")]


def metavar(parameter: Any) -> str:
    """The placeholder of a parameter's value: its metavar, else the last word of its name; "" for a flag."""
    if parameter.metavar:
        return str(parameter.metavar)
    if getattr(parameter, "is_flag", False):
        return ""
    return str(parameter.name).strip("_").rpartition("_")[2].upper()


def _names(parameter: Any) -> Text:
    if parameter.param_type_name == "argument":
        return Text(metavar(parameter), style="bold yellow")
    names = ", ".join([*sorted(parameter.opts, key=len, reverse=True), *parameter.secondary_opts])
    value = metavar(parameter)
    return Text.assemble((names, "bold cyan"), (f" {value}" if value else "", "yellow"))


def _explained(parameter: Any) -> Text:
    text = Text(" ".join((getattr(parameter, "help", None) or "").split()))
    if parameter.required:
        return text.append("  [required]", style="red")
    if default := shown_default(parameter):
        text.append(f"  [default: {default}]", style="dim")
    return text


def shown_default(parameter: Any) -> str:
    """A parameter's default as the help shows it; "" where it has none, or one that goes without saying."""
    default = parameter.default
    if parameter.required or default is None or callable(default) or default in (False, (), [], ""):
        return ""
    if default is True:
        return str(parameter.opts[0])
    return f"{default:g}" if isinstance(default, float) else str(getattr(default, "value", default))


def _panel(title: str, rows: list[tuple[Text, Text]], width: int) -> RenderableType:
    table = Table(box=None, show_header=False, expand=True, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=width)
    table.add_column(ratio=1)
    for name, text in rows:
        table.add_row(name, text)
    return Panel(table, title=title, title_align="left", box=box.ROUNDED, border_style="dim")
