"""Help, documentation and docstrings use the field's words, in plain English.

The list has the words that were given up, each with what to write instead. History is left alone.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mien.cli.app import app

ROOT = Path(__file__).parent.parent

# What not to write -> what to write.
WORDS = {
    r"pictures?": "image; of a clip, frame",
    r"(?:asked|asks|ask) (?:about|again|of|the model|the detector)": "run on, request",
    r"(?:is|are|was) (?:told|asked)": "name who does it",
    r"(?:model|network|head)s?(?:'s)? answers?": "prediction, predicts",
    r"(?:surest|sureness)": "most confident, confidence",
    r"halvings?": "halves",
    r"(?:crossed|debiased|rightness)": "cross-validated, bias-corrected, correctness",
    r"(?:came|come|comes) true": "was reproduced",
    r"likelie(?:r|st)": "more probable, most probable",
    r"ten views|views of each face|more looks?|one look": "crops",
    r"pump|twins|opinions": "frame loop, duplicates, votes",
    r"(?-i:Finder|Follower|Teller|Chooser)": "DetectStage, TrackStage, options, ...",
    # Habits.
    r"(?:an?|one) (?:row|file|run|room|bar|lane|line|object|test|name|folder|label|core|key) an? \w+": "per",
    r"(?:frames|faces|images) a (?:second|person|image)": "frames per second",
    r"ms a \w+": "ms per face",
    r"by the clock|quiet machine": "wall-clock time, an idle machine",
    r"(?:held|holds?) (?:\w+ ){0,3}against": "compare with",
    r"mindful|believed": "affected by, reliable",
    r"only so many|so long a|in so long|about so long": "limit to this many; per interval",
    r"(?<!there )is no (?:image|time|face|model|name|number|key|folder|file)": "is not a ...",
    r"says? (?:of|how far|whether it is)": "shows, contains",
    r"(?:at all if|if) not given": "Default: ...",
    r", for (?:it|they|that) (?:is|are|was|were|has|have)": "because",
    r"unasked": "name the option that allows it",
    r"all that (?:was|is|stands)": "everything that",
    r"what stands|lies? beside|stands? (?:in|beside)": "is beside, is in",
}
_HISTORY = {"CHANGELOG.md", "log.md", "changelog.md"}
PAGES = [
    page
    for page in sorted(
        [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    )
    if page.name not in _HISTORY
]


def _found(text: str) -> list[str]:
    """Each forbidden wording in a text, with a few words around it and what to write instead."""
    plain = " ".join(text.split())
    return [
        f"{plain[max(0, hit.start() - 40) : hit.end() + 20]!r}: {better}"
        for pattern, better in WORDS.items()
        for hit in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", plain, flags=re.IGNORECASE)
    ]


def _help(command: Any) -> list[str]:
    """The help of a command, of its parameters, and of the commands below it."""
    own = [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
    return own + [text for child in getattr(command, "commands", {}).values() for text in _help(child)]


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_a_page_uses_the_fields_words(page: Path) -> None:
    assert _found(page.read_text(encoding="utf-8")) == []


def test_the_help_uses_the_fields_words() -> None:
    assert [hit for text in _help(typer.main.get_command(app)) for hit in _found(text)] == []


def _first_lines(path: Path) -> list[str]:
    """The first line of each docstring of a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [(ast.get_docstring(node) or "").partition("\n")[0] for node in nodes if isinstance(node, kinds)]


def test_the_first_line_of_each_docstring_uses_the_fields_words() -> None:
    """They become the reference of the site, and what an editor shows."""
    hits = {
        path.relative_to(ROOT).as_posix(): hit
        for path in sorted((ROOT / "src").rglob("*.py"))
        for line in _first_lines(path)
        for hit in _found(line)
    }
    assert hits == {}


@pytest.mark.parametrize(
    "text",
    [
        "a row a face",
        "Most pictures",
        "the model is asked about each",
        "It took 3 s by the clock.",
        "45 more looks",
    ],
)
def test_the_list_catches_what_was_given_up(text: str) -> None:
    assert _found(text)
