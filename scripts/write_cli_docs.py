"""Write docs/cli.md from the command line itself, so that no command or option goes undocumented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main

from mien.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"


def page() -> str:
    """The whole page as Markdown."""
    parts = ["# The command line", "", "Made from the code by `make docs`.", ""]
    parts += _command(typer.main.get_command(app), "mien", 2)
    return "\n".join(parts).rstrip() + "\n"


def _command(command: Any, path: str, level: int) -> list[str]:
    lines = ["#" * level + f" `{path}`", "", _plain(command.help or ""), ""]
    options = [p for p in command.params if not getattr(p, "hidden", False) and "--help" not in p.opts]
    if options:
        lines += ["| | |", "|---|---|", *(f"| {_names(p)} | {_explain(p)} |" for p in options), ""]
    for name, child in getattr(command, "commands", {}).items():
        lines += _command(child, f"{path} {name}", level + 1)
    return lines


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _explain(parameter: Any) -> str:
    text = _plain(getattr(parameter, "help", None) or "")
    default = parameter.default
    if default in (None, False, (), []) or callable(default) or parameter.required:
        return text
    return f"{text} Default: `{default if default is not True else 'on'}`."


def _plain(text: str) -> str:
    paragraphs = text.replace("|", "\\|").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
