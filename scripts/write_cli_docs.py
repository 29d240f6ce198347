"""Write docs/cli.md from the command line, and docs/reference/exit-codes.md from the errors.

So that no command, no option and no error goes undocumented.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main

from mien import errors
from mien.cli.app import app
from mien.cli.help import metavar, panel_of, shown_default

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "cli.md"
EXIT_CODES = DOCS / "reference" / "exit-codes.md"

_EXIT_CODES_HEAD = """\
# Exit codes

Made from the code by `make docs`.

A command of `mien` ends with one of these codes. The message on stderr says what was wrong, the value that was
received, and what to do next. In Python the same errors are raised as exceptions of `mien.errors`; an error below
another one in its row is a subclass of it.

| code | error | meaning |
|---|---|---|
| 0 | | Success. |
| 1 | | `mien doctor`: something that `mien predict` needs is missing. Also: any unexpected error. |
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = ["# The command line", "", "Made from the code by `make docs`.", ""]
    parts += _command(typer.main.get_command(app), "mien", 2)
    return "\n".join(parts).rstrip() + "\n"


def exit_codes() -> str:
    """The page of exit codes as Markdown: one row per error."""
    rows = [_error(kind, depth) for kind, depth in _tree(errors.MienError, 0)]
    return _EXIT_CODES_HEAD + "\n".join(rows) + "\n"


def _tree(kind: type[errors.MienError], depth: int) -> list[tuple[type[errors.MienError], int]]:
    """An error and all errors below it, each with its depth in the tree."""
    below = sorted(kind.__subclasses__(), key=lambda child: (child.exit_code, child.__name__))
    return [(kind, depth), *(each for child in below for each in _tree(child, depth + 1))]


def _error(kind: type[errors.MienError], depth: int) -> str:
    name = "&nbsp;&nbsp;" * 2 * max(0, depth - 1) + f"`{kind.__name__}`"
    meaning = _plain((kind.__doc__ or "").split("\n\n")[0]).replace("``", "`")
    return f"| {kind.exit_code} | {name} | {meaning} |"


def _command(command: Any, path: str, level: int) -> list[str]:
    lines = ["#" * level + f" `{path}`", "", _plain(command.help or ""), ""]
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if not getattr(parameter, "hidden", False) and "--help" not in parameter.opts:
            panels.setdefault(panel_of(parameter), []).append(parameter)
    if panels:
        lines += ["| | |", "|---|---|"]
        for title, parameters in panels.items():
            lines += [f"| **{title}** | |", *(f"| {_names(p)} | {_explain(p)} |" for p in parameters)]
        lines.append("")
    for name, child in getattr(command, "commands", {}).items():
        lines += _command(child, f"{path} {name}", level + 1)
    return lines


def _names(parameter: Any) -> str:
    value = metavar(parameter).replace("|", "\\|")
    if parameter.param_type_name == "argument":
        return f"`{value}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name} {value}`" if value else f"`{name}`" for name in names)


def _explain(parameter: Any) -> str:
    text = _plain(getattr(parameter, "help", None) or "")
    default = shown_default(parameter)
    return f"{text} Default: `{default}`." if default else text


def _plain(text: str) -> str:
    paragraphs = text.replace("|", "\\|").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    EXIT_CODES.write_text(exit_codes(), encoding="utf-8")
