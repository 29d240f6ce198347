"""One HTML page that needs no other file: its pictures and its style are inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .2rem; }
p { margin: .2rem 0 .7rem; max-width: 46rem; }
nav a { margin-right: .9rem; white-space: nowrap; display: inline-block; }
a { color: #005a8f; }
img { max-width: 100%; height: auto; display: block; }
footer { margin-top: 3rem; color: #595959; font-size: .9rem; }
@media print { nav { display: none; } section { break-inside: avoid; } }
"""

_NOTE = (
    "This is about apparent expressions: how faces look to people. It says nothing about what a person feels."
)


@dataclass(frozen=True)
class Section:
    """One part of a page: its anchor, heading, a sentence (text, not HTML), and its body (HTML)."""

    anchor: str
    title: str
    text: str
    body: str


def image(path: Path, alt: str) -> str:
    """An img element that carries the PNG itself."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page as HTML: title, a lead sentence, links to the sections, the sections."""
    links = "\n".join(f'<a href="#{s.anchor}">{html.escape(s.title)}</a>' for s in sections)
    bodies = "\n".join(
        f'<section id="{s.anchor}">\n<h2>{html.escape(s.title)}</h2>\n<p>{html.escape(s.text)}</p>\n'
        f"{s.body}\n</section>"
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(lead)}</p>\n<nav>\n{links}\n</nav>\n"
        f"{bodies}\n<footer>{_NOTE}</footer>\n</body>\n</html>\n"
    )
