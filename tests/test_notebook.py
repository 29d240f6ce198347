"""The notebook does what it says, on drawn faces, in a kernel of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "study.ipynb"
KERNEL = "python -m ipykernel install --user --name mien"


def _read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.filterwarnings("default")  # of the kernel's packages, which are not ours
def test_every_cell_runs_on_drawn_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "MIEN_CACHE": str(tmp_path / "cache"),
        "MIEN_DATA": "synthetic",
        "MIEN_VOTES": "",
        "MIEN_EPOCHS": "1",
        "TMPDIR": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
    }.items():
        monkeypatch.setenv(name, value)
    notebook = _read()
    # The kernel of this very environment, whatever it is called elsewhere.
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(
        output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"
    )
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert re.search(r"accuracy \d+\.\d% \(95 % interval \d+\.\d% to \d+\.\d%, n = 70\)", printed)
    assert re.search(r"[1-9] calls of on_step; the last: step \d+, loss \d\.\d{3}\nmacro F1 \d", printed)
    assert len(pictures) >= 12


def test_the_notebook_is_stored_without_outputs() -> None:
    for cell in _read().cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_every_step_is_explained_before_it_is_done() -> None:
    """Code is never more than two cells away from a text."""
    kinds = "".join("m" if cell.cell_type == "markdown" else "c" for cell in _read().cells)
    assert "ccc" not in kinds
    assert kinds.startswith("m")


def test_the_line_that_registers_the_kernel_stands_in_the_notebook_and_in_the_documentation() -> None:
    assert KERNEL in "\n".join(cell.source for cell in _read().cells)
    assert KERNEL in (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
