"""`--help` of every command at 80 columns, and the length of the functions behind the commands."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import mien.cli
from mien.cli.app import app
from mien.cli.help import metavar, panel_of, paragraphs

_LONGEST_FUNCTION = 60
_OPTIONS_PER_PANEL = 10


def _commands(command=None, path=()):
    command = command or typer.main.get_command(app)
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


COMMANDS = dict(_commands())
PATHS = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def _help(path) -> str:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _parameters(path):
    return [each for each in COMMANDS[path].params if not getattr(each, "hidden", False)]


@PATHS
def test_no_line_of_help_is_wider_than_80_columns(path):
    assert max(map(len, _help(path).splitlines())) <= 80


@PATHS
def test_no_word_of_help_is_cut_at_80_columns(path):
    """Each word of the texts stands whole in the output, in its order."""
    shown = re.sub(r"[╭╮╰╯│─]", " ", _help(path)).split()
    for parameter in _parameters(path):
        if parameter.param_type_name == "option":
            assert set(parameter.opts) <= {word.strip(",") for word in shown}
        words = (parameter.help or "").split()
        assert any(shown[i : i + len(words)] == words for i in range(len(shown))) or _runs_in_a_column(
            path, words
        )
    for paragraph in paragraphs(COMMANDS[path].help):
        words = paragraph.split()
        assert any(shown[i : i + len(words)] == words for i in range(len(shown)))


def _runs_in_a_column(path, words) -> bool:
    """Whether the words stand in the right column, whose left neighbour is empty on wrapped lines."""
    column = [re.sub(r"^.{2}\S.*?  +|^│ +|│$", " ", line) for line in _help(path).splitlines()]
    text = " ".join(" ".join(column).split())
    return " ".join(words) in text


@PATHS
def test_help_names_no_types_of_python(path):
    assert not re.search(r"<[a-z\[\] ]+>", _help(path))


@PATHS
def test_paragraphs_of_help_are_not_broken_within_a_sentence(path):
    """Typer kept the line ends of docstrings within paragraphs, so that lines ended after a few words."""
    text = _help(path).split("╭")[0].split("\n\n")[1:]
    for paragraph in text:
        lines = paragraph.strip("\n").splitlines()
        for line, following in pairwise(lines):
            assert len(line.rstrip()) + 1 + len(following.split()[0]) > 80


@PATHS
def test_every_value_of_an_option_has_a_short_name(path):
    for parameter in _parameters(path):
        assert len(metavar(parameter)) <= 16, parameter.name


@PATHS
def test_long_lists_of_options_stand_in_named_panels(path):
    titles = [panel_of(each) for each in _parameters(path) if each.param_type_name == "option"]
    assert all(titles.count(title) <= _OPTIONS_PER_PANEL for title in titles)


@pytest.mark.parametrize(
    "file", sorted(Path(mien.cli.__file__).parent.rglob("*.py")), ids=lambda file: file.name
)
def test_no_function_of_the_command_line_is_longer_than_60_lines(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno + 1 <= _LONGEST_FUNCTION, node.name
