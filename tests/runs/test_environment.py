"""The environment of a run: the commit of the source, with a mark where it has uncommitted changes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import mien
from mien.runs.environment import commit


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed source tree with two packages, taken for mien's."""
    source = tmp_path / "src" / "mien"
    for name in ("__init__.py", "data/table.py", "runs/environment.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    monkeypatch.setattr(mien, "__file__", str(source / "__init__.py"))
    return source


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_clean_tree_has_its_commit_alone(tree: Path) -> None:
    assert commit() == git(tree, "rev-parse", "HEAD").strip()


@pytest.mark.parametrize("name", ["__init__.py", "data/table.py", "runs/environment.py", "data/new.py"])
def test_a_change_anywhere_in_the_tree_is_marked(tree: Path, name: str) -> None:
    """It was once looked for in the training package alone, though other packages change results too."""
    (tree / name).write_text("changed = True\n")
    assert commit() == git(tree, "rev-parse", "HEAD").strip() + "+changes"


def test_an_installed_package_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is installed into the folder of another project."""
    (tmp_path / "mien").mkdir()
    (tmp_path / "mien" / "__init__.py").write_text("")
    monkeypatch.setattr(mien, "__file__", str(tmp_path / "mien" / "__init__.py"))
    assert commit() is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "other")
    assert commit() is None
