"""A training run, and several seeds of one, as a page: on folders as `mien train` leaves them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk
from typer.testing import CliRunner

import mien
from mien.cli.app import app
from mien.emotions import FER2013
from mien.errors import SourceNotFound, UsageError
from mien.loading import load_model
from mien.models.card import Head
from mien.reports import run as run_report
from mien.reports.document import Document
from mien.runs.recipe import load_recipe, to_toml
from mien.testing.fakes import banded_face, write_band_model

METRICS = (
    "epoch,size,lr,train_loss,train_accuracy,validation_loss,validation_accuracy,votes_loss,gap,"
    "gradient_norm,images_per_s,seconds,best,objective,validation_macro_f1"
)
COUNT = 42


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013's CSV with faces that the model of bands predicts; a sixth of the labels is another one."""
    rows = ["emotion,pixels,Usage"]
    noise = np.random.default_rng(0)
    for i in range(COUNT):
        face = banded_face(i % 7, 7) ^ noise.integers(0, 4, (48, 48), np.uint8)
        label = (i + (i % 6 == 1)) % 7
        rows.append(f"{label},{' '.join(map(str, face.ravel()))},{('Training', 'PublicTest')[i % 2]}")
    path = tmp_path_factory.mktemp("data") / "fer2013.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def make_run(folder: Path, data: Path, *, accuracy: float = 0.3, **keys: int | float) -> Path:
    """A finished run of two epochs with its export; `keys` of the recipe have _ for the dot."""
    folder.mkdir(parents=True)
    recipe = load_recipe("report", {key.replace("_", ".", 1): value for key, value in keys.items()})
    (folder / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    facts = {
        "training_faces": 384,
        "validation_faces": 21,
        "hardware": {"processes": 1, "device": "cpu", "processor": "a processor"},
        "versions": {"python": "3.12", "torch": "2.9"},
        "commit": "abc123",
        "options": {"data": str(data), "votes": None},
        "data": {"source": str(data), "sha256": mien.load(data).sha256, "splits": {"Training": 21}},
    }
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "metrics.csv").write_text(
        f"{METRICS}\n1,48,0.001,1.9,0.2,1.8,0.25,,-0.1,1.0,300,2,False,1.9,0.2\n"
        f"2,48,0.0005,1.5,0.4,1.7,{accuracy},,0.2,0.9,300,4,True,1.5,{accuracy - 0.05}\n"
    )
    (folder / "steps.csv").write_text(
        "step,lr,loss,gradient_norm,seconds\n" + "".join(f"{i},0.001,1.9,1.0,0.5\n" for i in range(6))
    )
    write_band_model(folder, name="mine", heads=(Head("fer2013", FER2013),))
    return folder


@pytest.mark.usefixtures("png_only")
def test_a_run_s_page_has_scores_curves_confusion_examples_recipe_and_environment(
    data: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "a", data)
    written = mien.report(run)
    assert written.page == run / "report" / "report.html"
    content = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    sections = content["sections"]
    assert set(sections) >= {
        "loss", "accuracy", "learning_rate", "examples", "confusion", "per_class", "mistakes", "layers_b0",
        "transforms", "recipe", "recipe_changes", "environment",
    }  # fmt: skip
    public = mien.load(data).split("PublicTest")
    guessed = load_model(run / "mine.onnx").predict(public.pixels)["fer2013"].argmax(axis=1)
    assert sections["confusion"]["counts"] == sk.confusion_matrix(public.labels, guessed).tolist()
    text = written.page.read_text(encoding="utf-8")
    assert f"Accuracy {sk.accuracy_score(public.labels, guessed):.1%} on PublicTest, 21 faces" in text
    assert "The epoch was chosen on these faces" in text
    assert "a processor" in text
    changed = {row["key"]: row["value"] for row in sections["recipe_changes"]}
    assert changed["network.padding_size"] == "224"
    assert "optimizer.lr" not in changed
    assert [table.headings[0] for table in written.tables] == ["score", "class"]


@pytest.mark.usefixtures("png_only")
def test_seeds_have_one_page_with_mean_spread_and_mean_confusion(data: Path, tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "s" / f"seed-{seed}", data, loop_seed=seed, accuracy=0.3 + seed / 10)
        for seed in (0, 2)
    ]
    (tmp_path / "s" / "seeds.json").write_text("{}")
    written = mien.report(tmp_path / "s")
    assert written.runs == tuple(runs)
    assert written.page == tmp_path / "s" / "report" / "report.html"
    assert written.seeds is not None
    assert written.seeds.spreads["best_accuracy"].mean == pytest.approx(0.4)
    assert "Accuracy 40.0% ± 14.1" in written.page.read_text(encoding="utf-8")
    sections = json.loads((tmp_path / "s" / "report" / "report.json").read_text(encoding="utf-8"))["sections"]
    public = mien.load(data).split("PublicTest")
    guessed = load_model(runs[0] / "mine.onnx").predict(public.pixels)["fer2013"].argmax(axis=1)
    f1 = sk.f1_score(public.labels, guessed, average=None)
    for name, expected in zip(FER2013, f1, strict=True):
        assert sections["seeds_per_class"][name]["mean"] == pytest.approx(expected)
    expected = sk.confusion_matrix(public.labels, guessed, normalize="true")
    np.testing.assert_allclose(sections["seeds_confusion"]["shares"], expected, atol=1e-5)
    assert sections["seeds"][0]["seed 2"] == "50.0"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in CK+'s layout: six people with each emotion once; a sixth of the labels is another one."""
    root = tmp_path_factory.mktemp("people") / "CK+48"
    noise = np.random.default_rng(1)
    for i in range(COUNT):
        face = banded_face(i % 7, 7) ^ noise.integers(0, 4, (48, 48), np.uint8)
        path = root / FER2013[(i + (i % 6 == 1)) % 7] / f"S{10 + i // 7:03d}_001_{i % 7 + 1:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(path)
    return root


@pytest.mark.usefixtures("png_only")
def test_folds_have_one_page_with_the_scores_of_all_faces_out_of_fold(people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cv"
    for fold in (1, 2, 3):
        keys = {"data_folds": 3, "data_fold": fold}
        make_run(folder / f"fold-{fold}", people, accuracy=fold / 10, **keys)
    mien.report(folder / "fold-1")
    table = [{"fold": fold, "subjects": 2} for fold in (1, 2, 3)]
    (folder / "folds.json").write_text(json.dumps({"folds": table}))
    written = mien.report(folder)
    text = written.page.read_text(encoding="utf-8")
    assert "Accuracy 20.0% ± 10.0 after the last epoch (mean and standard deviation of 3 folds" in text
    for address in ("../fold-1/report/report.html", "../fold-2/", "../fold-3/"):
        assert f'<a href="{address}">' in text
        assert (written.page.parent / address).exists()
    sections = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))["sections"]
    faces = mien.load(people)
    guessed = load_model(folder / "fold-1" / "mine.onnx").predict(faces.pixels)["fer2013"].argmax(axis=1)
    assert sections["confusion"]["counts"] == sk.confusion_matrix(faces.labels, guessed).tolist()
    assert written.out_of_fold is not None
    assert written.out_of_fold.scores.accuracy == sk.accuracy_score(faces.labels, guessed)
    assert [row["fold"] for row in sections["folds"]] == ["1", "2", "3", "mean", "standard deviation"]
    assert [row["people"] for row in sections["folds"]] == ["2", "2", "2", "", ""]
    marks = sections["folds_per_class"]["happy"]
    assert len(marks["folds"]) == 3
    assert marks["mean"] == pytest.approx(np.mean(marks["folds"]))
    assert [table.headings[0] for table in written.tables] == ["fold", "score", "class"]


def test_the_page_of_folds_says_which_are_missing_and_refuses_one_twice(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_report, "write", not_drawn)
    runs = [make_run(tmp_path / f"fold-{fold}", people, data_folds=3, data_fold=fold) for fold in (1, 2)]
    other = make_run(tmp_path / "other", people, data_folds=3, data_fold=2, loop_seed=1)
    text = mien.report(runs, out=tmp_path / "out").page.read_text(encoding="utf-8")
    assert "1 of the 3 folds are missing." in text
    with pytest.raises(UsageError, match="two of the runs are of fold 2"):
        mien.report([*runs, runs[1]], out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"more than the fold: loop\.seed"):
        mien.report([runs[0], other], out=tmp_path / "out")


def not_drawn(document: Document, folder: Path, **_: object) -> Path:
    """In place of `write`: the page's lead alone, because drawing takes seconds."""
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(document.lead, encoding="utf-8")
    return folder / "report.html"


def test_the_table_of_seeds_is_printed_for_a_paper(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_report, "write", not_drawn)
    runs = [make_run(tmp_path / name, data, loop_seed=seed) for seed, name in enumerate("ab")]
    arguments = ["report", *map(str, runs), "--out", str(tmp_path / "out"), "--format", "latex"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.stdout.startswith("% report on PublicTest, n = 21, 2 seeds\n\\begin{tabular}")
    assert "report.html" in result.stderr


def test_runs_of_different_recipes_are_for_mien_compare(data: Path, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", data), make_run(tmp_path / "b", data, optimizer_lr=1e-2)]
    with pytest.raises(UsageError, match=r"more than the seed: optimizer\.lr.*mien compare"):
        mien.report(runs, out=tmp_path / "out")
    with pytest.raises(UsageError, match="--out"):
        mien.report([runs[0], runs[0]])
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="training run"):
        mien.report(tmp_path / "none")
    (tmp_path / "none/folds.json").write_text("{}")
    with pytest.raises(UsageError, match="none has no run of a fold yet"):
        mien.report(tmp_path / "none")


@pytest.mark.usefixtures("png_only")
def test_without_its_faces_a_run_has_a_page_that_says_why_it_was_not_evaluated(
    data: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "a", data)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["options"]["data"] = str(tmp_path / "gone.csv")
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    result = CliRunner().invoke(app, ["report", str(run)], catch_exceptions=False)
    assert "not evaluated" in result.stderr
    assert "gone.csv" in result.stderr
    text = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "gone.csv" in text
    assert 'id="loss"' in text
    assert 'id="confusion"' not in text
    with pytest.raises(SourceNotFound):
        mien.report(run, data=tmp_path / "gone.csv")


@pytest.mark.usefixtures("png_only")
def test_other_faces_than_those_of_the_run_are_named_as_such(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_report, "write", not_drawn)
    run = make_run(tmp_path / "a", data)
    other = tmp_path / "other.csv"
    other.write_text("\n".join(data.read_text().splitlines()[:30]) + "\n")
    text = mien.report(run, data=other, out=tmp_path / "out").page.read_text(encoding="utf-8")
    assert "These are not the faces that the run was trained with." in text
