"""Write the map of the packages into README.md and CONTRIBUTING.md, from the contract in pyproject.toml.

So that the documented order is the one that `lint-imports` enforces. The top floor comes first; the text of a
package is the first sentence of its docstring.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
_BEGIN, _END = "<!-- map: made by `make docs` -->", "<!-- end of map -->"


def floors() -> list[list[str]]:
    """The packages of each floor, the top floor first, as the contract names them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [[name.strip() for name in re.split(r"[|:]", floor)] for floor in layers["layers"]]


def sentence(package: str) -> str:
    """The first sentence of a package's docstring, in Markdown."""
    path = ROOT / "src" / Path(*package.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    first = re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph)[0]
    return first.replace("``", "`").replace("|", "\\|")


def overview() -> str:
    """One row per package."""
    rows = ["| package | what it does |", "|---|---|"]
    rows += [f"| `{name}` | {sentence(name)} |" for floor in floors() for name in floor]
    return "\n".join(rows)


def order() -> str:
    """The floors in one line, the top floor first."""
    short = [", ".join(name.removeprefix("mien.") for name in floor) for floor in floors()]
    return " → ".join(f"`{names}`" for names in short)


def filled(text: str, section: str) -> str:
    """A page with the part between the markers written anew."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{section}\n{_END}{rest.partition(_END)[2]}"


def section(page: Path) -> str:
    """The map of a page: one line in README, a table elsewhere."""
    return order() if page.name == "README.md" else overview()


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(filled(each.read_text(encoding="utf-8"), section(each)), encoding="utf-8")
