"""One run per seed: folders, resuming, and what the seeds say together."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import mien
from mien.data.parquet import write_parquet
from mien.data.synthetic.faces import faces as draw_faces
from mien.data.table import FaceTable
from mien.errors import ResumeError, UsageError
from mien.images.gray import png
from mien.reports.tabular import of_seeds
from mien.runs.recipe import Recipe
from mien.runs.seeds import MEASURES, spread
from mien.training import api
from mien.training.repeated import seeds as repeated
from mien.training.repeated.seeds import resume_seeds, train_seeds


def test_the_interval_is_students() -> None:
    values = [0.61, 0.64, 0.63, 0.66]
    found = spread(values)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.sd == pytest.approx(np.std(values, ddof=1))


@pytest.mark.parametrize("wrong", [1, [3], [0, 0], [-1, 2]])
def test_seeds_that_cannot_be_are_refused(wrong: Any, few_faces: FaceTable) -> None:
    with pytest.raises(UsageError, match="two or more different whole numbers"):
        train_seeds("quick", wrong, data=few_faces)


def test_seeds_are_runs_with_a_table_and_are_resumed(
    tiny: Callable[..., Recipe],
    few_faces: FaceTable,
    tmp_path: Path,
    recorder: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = tiny(
        schedule={"epochs": 1, "warmup_epochs": 0}, data={"face_size": 16}, loop={"batch_size": 100},
        network={"size": 16},
    )  # fmt: skip
    out = tmp_path / "s"
    data = tmp_path / "few.parquet"
    write_parquet(few_faces, data)
    began: list[str] = []
    go = repeated.go

    def counted(recipe: Recipe, options: Any, folder: Path, *args: Any, **more: Any) -> Any:
        began.append(folder.name)
        if len(began) == 2:
            raise KeyboardInterrupt
        return go(recipe, options, folder, *args, **more)

    monkeypatch.setattr(repeated, "go", counted)
    monkeypatch.setattr(api, "draw_run", lambda folder: [])
    with pytest.raises(KeyboardInterrupt):
        train_seeds(plan, [3, 5], data=data, out=out, reporter=recorder, threads=1)
    assert began == ["seed-3", "seed-5"]
    result = resume_seeds(out, reporter=recorder)
    assert began == ["seed-3", "seed-5", "seed-5"]  # seed 3 was done
    assert [each.seed for each in result.seeds] == [3, 5]
    assert recorder.summaries == []  # a run's summary is a note among several
    assert result.summary in recorder.notes
    kept = json.loads((out / "seeds.json").read_text())
    accuracies = [each.best_accuracy for each in result.seeds]
    assert kept["spreads"]["best_accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    rows = list(csv.DictReader((out / "seeds.csv").read_text().splitlines()))
    assert [float(row["best_accuracy"]) for row in rows] == accuracies
    (table,) = of_seeds(result)
    assert table.headings[-2:] == ("seed 3", "seed 5")
    assert [row[0].split(", %")[0] for row in table.rows] == list(MEASURES.values())
    compared = mien.compare([out, out / "seed-3"], bootstrap=50)
    together, alone = compared.models
    assert (together.name, together.seeds, alone.seeds) == ("s", (3, 5), None)
    assert together.accuracy == pytest.approx(np.mean(accuracies))
    assert alone.accuracy == pytest.approx(accuracies[0])
    with pytest.raises(UsageError, match=r"several seeds.*seed-3.*seed-5"):
        mien.load_model(out)
    (out / "seed-5/summary.json").unlink()
    with pytest.raises(UsageError, match=r"seed 5 is not trained to the end.*--resume"):
        mien.compare([out, out / "seed-3"])
    with pytest.raises(UsageError, match="already has seeds"):
        train_seeds(plan, 2, data=data, out=out)
    with pytest.raises(ResumeError, match="has no seeds"):
        resume_seeds(tmp_path)


def test_the_lines_of_the_docs_train_a_folder_and_print_latex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in docs/training.md, with a smaller network of the same family, its weights drawn, for one epoch."""
    page = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "train_seeds" in block
    ]
    assert len(code.splitlines()) <= 10
    code = code.replace('"resnet18"', '"test_resnet"').replace('"hub"', '"random"')
    code = code.replace('**{"network', '**{"schedule.epochs": 1, "loop.batch_size": 8, "network')
    drawn = draw_faces(24, seed=2)
    for row, pixels in enumerate(drawn.pixels):
        folder = tmp_path / "faces" / ("calm", "tired", "angry")[row % 3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.png").write_bytes(png(pixels))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "draw_run", lambda folder: [])
    exec(compile(code, "docs/training.md", "exec"), {})
    printed = capsys.readouterr().out
    assert r"\begin{tabular}{lrrrrrrr}" in printed
    assert r"seed 2 \\" in printed
    assert "accuracy, best epoch, " in printed
