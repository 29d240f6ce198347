"""The study, end to end on drawn faces: every chapter, every place of the report, one page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mien.auditing.audit import Findings
from mien.data.synthetic.faces import faces
from mien.data.table import FaceTable
from mien.emotions import FER2013, VOTES
from mien.errors import DataError
from mien.evaluation.predictions import predict_split
from mien.models.card import Head
from mien.models.classifier import HeadClassifier
from mien.models.registry import DEFAULT
from mien.reports import study as report
from mien.reports.figures import examples
from mien.reports.network import NetworkDescription
from mien.reports.study import REPORT, StudyModel, open_study_model, study
from mien.runs.recipe import Recipe, to_toml
from mien.testing.fakes import FakeClassifier, FakeModel, numbered_faces, write_band_model

# The JSON's first keys, its chapters, and the parts that drawn faces with votes and one run always give.
KEYS = ["format", "mien", "data", "model", "runs", "chapters", "sections"]
CHAPTERS = ["data", "audit", "network", "training", "evaluation"]
PARTS = {
    "first_rows", "representatives", "emotions", "usage", "emotions_by_split", "mean_faces", "lighting",
    "votes_by_label", "agreement", "vote_entropy", "most_disputed",
    "audit_counts",
    "scaling_options", "compound_scaling", "layers_b0", "transforms",
    "runs", "loss", "accuracy", "gap", "learning_rate", "gradient_norm", "step_time",
    "examples", "confusion", "confusion_normalized", "per_class", "top_k", "coverage", "robustness",
    "leaderboard",
}  # fmt: skip


def guess(crops: np.ndarray) -> np.ndarray:
    """Probabilities that have nothing to do with expressions, but differ from face to face."""
    sums = crops.reshape(len(crops), -1).astype(np.float64)
    raw = np.stack([sums[:, i::7].mean(axis=1) for i in range(7)], axis=1)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def votes_of(crops: np.ndarray) -> np.ndarray:
    return np.hstack([guess(crops) * 0.94, np.full((len(crops), 3), 0.02)])


def run_folder(folder: Path) -> Path:
    """A finished run of two epochs of three steps, as `mien train` leaves it."""
    folder.mkdir()
    (folder / "recipe.toml").write_text(to_toml(Recipe()), encoding="utf-8")
    facts = {"training_faces": 384, "hardware": {"processes": 1}}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / "metrics.csv").write_text(
        "epoch,size,lr,train_loss,train_accuracy,validation_loss,validation_accuracy,votes_loss,gap,"
        "gradient_norm,images_per_s,seconds,best,objective\n"
        "1,48,0.001,1.9,0.2,1.8,0.25,,-0.1,1.0,300,2,True,1.9\n"
        "2,48,0.0005,1.5,0.4,1.7,0.3,,0.2,0.9,300,4,True,1.5\n"
    )
    steps = "".join(f"{i},0.001,1.9,1.0,0.5\n" for i in range(6))
    (folder / "steps.csv").write_text("step,lr,loss,gradient_norm,seconds\n" + steps)
    return folder


@pytest.fixture(scope="module")
def table() -> FaceTable:
    return faces(210)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, table: FaceTable) -> Path:
    """The folder of a study with everything that it can hold."""
    folder = tmp_path_factory.mktemp("study")
    run = run_folder(folder / "first")
    network = NetworkDescription("mine", "tf_efficientnet_b0", 48, Recipe().to_dict())
    heads = {"fer2013": FakeClassifier(guess), "votes": FakeClassifier(votes_of, labels=VOTES)}
    subject = StudyModel(network, FakeModel(heads), runs=(run,), auditor=FakeModel(heads, name="ours"))
    study(table, subject, folder / "out")
    return folder / "out"


def test_the_json_has_the_schema_of_the_documentation(written: Path, table: FaceTable) -> None:
    content = json.loads((written / "study.json").read_text(encoding="utf-8"))
    assert list(content) == KEYS
    assert list(content["chapters"]) == CHAPTERS
    listed = [name for names in content["chapters"].values() for name in names]
    assert sorted(listed) == sorted(content["sections"])
    assert set(listed) >= PARTS
    assert content["data"]["sha256"] == table.sha256
    assert content["model"] == {
        "name": "mine", "backbone": "tf_efficientnet_b0",
        "evaluated_on": "PublicTest", "audited_with": "ours",
    }  # fmt: skip
    assert content["runs"] == ["first"]


def test_every_section_has_its_figure_in_three_formats(written: Path) -> None:
    parts = json.loads((written / "study.json").read_text(encoding="utf-8"))["sections"]
    for ending in ("png", "svg", "pdf"):
        assert {path.stem for path in written.glob(f"*.{ending}")} == set(parts) - {"fairness"}


def test_the_page_needs_no_network_and_each_figure_has_a_description(written: Path) -> None:
    text = (written / "study.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href|action)="(?!data:image/|#)', text)
    assert "url(" not in text
    assert "@import" not in text
    pictures = re.findall(r"<img [^>]*>", text)
    parts = json.loads((written / "study.json").read_text(encoding="utf-8"))["sections"]
    assert len(pictures) == len(set(parts) - {"fairness"})
    assert all(re.search(r'alt="[^"]{3,}"', picture) for picture in pictures)
    assert (written / "study.html").stat().st_size < 15e6


def test_every_figure_of_the_report_has_its_counterpart(written: Path) -> None:
    text = (written / "study.html").read_text(encoding="utf-8")
    rows = dict(re.findall(r'<tr><th scope="row">([^<]+)</th><td>[^<]*</td><td>(.*?)</td></tr>', text))
    assert {place: rows[place] for place in REPORT if '<a href="#' not in rows[place]} == {}


@pytest.mark.usefixtures("png_only")
def test_without_runs_the_page_says_how_to_get_the_plots_of_learning(
    tmp_path: Path, table: FaceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "ROBUSTNESS_FACES", 2)
    network = NetworkDescription("mine", "tf_efficientnet_lite0", 64, {})
    few = table.take(np.arange(len(table)) % 3 == 0)
    model = FakeModel({"fer2013": FakeClassifier(guess)})
    page = study(few, StudyModel(network, model, auditor=model), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "give a training run with --run" in text
    content = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert "training" not in content["chapters"]
    assert "layers" in content["sections"]


@pytest.mark.usefixtures("png_only")
def test_chapters_and_sections_are_reported(tmp_path: Path, table: FaceTable) -> None:
    begun: list[str] = []
    done: list[str] = []
    network = NetworkDescription("mine", "none", 48, {})
    study(table, StudyModel(network), tmp_path, on_chapter=begun.append, on_section=done.append)
    assert len(begun) == 3
    assert done[0] == "first_rows"


def test_a_split_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path: Path, table: FaceTable
) -> None:
    with pytest.raises(DataError, match="no split 'test'"):
        study(table, StudyModel(NetworkDescription("mine", "none", 48, {})), tmp_path / "out", split="test")
    assert not (tmp_path / "out").exists()


def test_an_empty_table_is_refused(tmp_path: Path, table: FaceTable) -> None:
    nothing = table.take(np.zeros(len(table), bool))
    with pytest.raises(DataError, match="no faces"):
        study(nothing, StudyModel(NetworkDescription("mine", "none", 48, {})), tmp_path)


def test_examples_are_the_most_confident_and_the_median_face_of_each_predicted_class(
    table: FaceTable,
) -> None:
    p = predict_split(FakeClassifier(guess), table, "Training", head="fer2013")
    top = p.probabilities.argmax(axis=1)
    found = examples.select_examples(p)
    assert set(found) == {p.classes[i] for i in set(top.tolist())}
    for name, (confident, median) in found.items():
        column = p.classes.index(name)
        mine = np.sort(p.probabilities[top == column, column])[::-1]
        assert p.probabilities[confident, column] == mine[0]
        assert p.probabilities[median, column] == mine[len(mine) // 2]


def test_both_heads_of_a_face_are_computed_once() -> None:
    sizes: list[int] = []

    def rule(crops: np.ndarray) -> np.ndarray:
        sizes.append(len(crops))
        return guess(crops)

    heads = {"fer2013": FakeClassifier(rule), "votes": FakeClassifier(votes_of, labels=VOTES)}
    views = StudyModel(NetworkDescription("mine", "none", 48, {}), FakeModel(heads)).classifiers
    crops = numbered_faces([5, 7, 5, 900])
    votes = views["votes"].predict(crops)
    expected = guess(crops[::-1]).astype(np.float32)
    np.testing.assert_array_equal(views["fer2013"].predict(crops[::-1]), expected)
    np.testing.assert_array_equal(votes, votes_of(crops).astype(np.float32))
    assert sizes == [3]


def exported(run: Path, name: str) -> Path:
    """A model of one head in the folder of a run, as `mien export` leaves it."""
    return write_band_model(run, name=name, heads=(Head("fer2013", FER2013),))


def test_a_run_s_float_model_is_studied_not_its_int8_one(tmp_path: Path) -> None:
    """The first file by name was taken: NAME-int8.onnx comes before NAME.onnx."""
    run = run_folder(tmp_path / "run")
    for name in ("mine-int8", "mine"):
        exported(run, name)
    subject = open_study_model(None, [run], None)
    assert subject.network.name == "mine"
    assert subject.model is not None
    assert subject.model.name == "mine"


def test_the_audit_has_the_shipped_model_unless_another_is_given(tmp_path: Path) -> None:
    """A weak run of one's own found 8,338 label errors where the shipped model finds 5,737."""
    run = run_folder(tmp_path / "run")
    mine = str(exported(run, "mine"))
    subject = open_study_model(None, [run])
    assert subject.auditor is not None
    assert subject.auditor.name == DEFAULT
    assert subject.audit_classifier is not None
    assert subject.audit_classifier.head_name == "votes"
    subject = open_study_model(mine, [], mine)
    assert subject.auditor is subject.model
    assert subject.audit_classifier is subject.classifiers["fer2013"]
    assert open_study_model(mine, [], None).audit_classifier is None


def test_label_errors_come_from_the_model_of_the_audit(
    table: FaceTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited: list[str] = []

    def audit(table: FaceTable, classifier: HeadClassifier, **_: object) -> Findings:
        audited.append(classifier.name)
        return Findings(())

    monkeypatch.setattr(report, "audit", audit)
    heads = {"fer2013": FakeClassifier(guess)}
    network = NetworkDescription("mine", "none", 48, {})
    subject = StudyModel(network, FakeModel(heads, name="mine"), auditor=FakeModel(heads, name="shipped"))
    for chapter in report.chapters(table, subject, "PublicTest"):
        if chapter.name == "audit":
            assert list(chapter.sections)
    assert audited == ["shipped"]
