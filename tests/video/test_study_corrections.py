"""Corrections of a study: each kind, in all tables, undone to the byte, and refused where they do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pympi
import pytest
from PIL import Image

import mien
from mien.emotions import FER2013
from mien.errors import CorrectionError, UsageError
from mien.inference.analyzer import Analyzer
from mien.testing.clips import Actor, play, write_clip
from mien.testing.fakes import write_band_model
from mien.video.batch import predict_clips
from mien.video.log import replay
from mien.video.options.clips import ClipOptions
from mien.video.options.study import StudyOptions
from mien.video.runner import BatchObserver
from mien.video.study.corrections import FILE, FORMAT, corrections_in, corrections_of
from mien.video.study.dictionary import TABLES
from mien.video.study.rewrite import rewrite

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
OPTIONS = StudyOptions(bin_s=0.5, threshold=0.16, hysteresis=0.005, exports=("elan", "boris", "long"))

Entry = dict[str, Any]
Corrected = Callable[..., Path]


def predict(folder: Path, out: Path, *, model: Path, **options: Any) -> tuple[int, list[str]]:
    """Writes a study; returns how many clips failed, and why."""
    errors: list[str] = []

    class Observer(BatchObserver):
        def failed(self, source: str, error: str) -> None:
            errors.append(error)

    analyzer = Analyzer(model, threads=1)
    asked = ClipOptions(out=out, study=OPTIONS, people="off", **options)
    return predict_clips([str(folder)], analyzer, asked, Observer()), errors


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_band_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person who jumps across the scene, beside another one: people 1, 2 and 3; and a clip of one."""
    folder = tmp_path_factory.mktemp("clips")
    anna = np.asarray(Image.open(PHOTO).convert("RGB").crop((130, 0, 330, 260)))
    scene = [
        Actor(anna, lambda t: (100, 170, 200 + 20 * t) if t < 1 else None),
        Actor(anna, lambda t: (330, 180, 150)),
        Actor(anna, lambda t: (540, 170, 200) if t >= 1 else None),
    ]
    lit = (frame * (0.65 + 0.3 * np.sin(i / 2)) for i, frame in enumerate(play(scene, 2)))
    write_clip(folder / "two.mp4", (frame.astype(np.uint8) for frame in lit))
    write_clip(folder / "one.mp4", play([Actor(anna, lambda t: (300, 180, 220))], 0.6))
    return folder


@pytest.fixture(scope="module")
def study(clips: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "study"
    assert predict(clips, out, model=model) == (0, [])
    frames = pd.read_csv(out / "two" / "frames.csv")
    assert frames.groupby("face_id")["time_s"].agg(["min", "max"]).round(2).to_numpy().tolist() == [
        [0.0, 0.96], [0.0, 1.96], [1.0, 1.96]
    ]  # fmt: skip
    return out


@pytest.fixture
def corrected(study: Path, tmp_path: Path) -> Corrected:
    """Returns a copy of the study with these entries applied, about the clip with several people."""

    def apply(*entries: Entry) -> Path:
        copy = tmp_path / "study"
        if not copy.exists():
            shutil.copytree(study, copy)
        mien.apply_corrections(copy, [{"clip": "two", **entry} for entry in entries])
        return copy

    return apply


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != FILE
    }


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "two" / f"{name}.parquet")


MERGE: Entry = {"kind": "merge", "people": [3], "into": 1}
SPLIT: Entry = {"kind": "split", "person": 2, "at_s": 0.6, "new": 9}
RENAME: Entry = {"kind": "rename", "person": 2, "name": "Bob $x$"}
EXCLUDE: Entry = {"kind": "exclude", "person": 2, "from_s": 0.3, "to_s": 0.7}
NOBODY: Entry = {"kind": "exclude", "person": None, "from_s": 0.3, "to_s": 0.7}
MARK: Entry = {"kind": "mark", "person": 2, "from_s": 0.4, "to_s": 0.8, "emotion": "fear"}


def test_merged_people_are_one_in_every_table(corrected: Corrected, study: Path) -> None:
    folder = corrected(MERGE)
    for name in ("frames", "people", "intervals", "events"):
        assert set(table(folder, name)["face_id"]) == {1, 2}
    before, people = table(study, "people").set_index("face_id"), table(folder, "people")
    one = people.set_index("face_id").loc[1]
    assert one["seconds"] == pytest.approx(before.loc[[1, 3], "seconds"].sum())
    weights = before.loc[[1, 3], "seconds"]
    means = before.loc[[1, 3], "mean_happy"]
    assert one["mean_happy"] == pytest.approx((means * weights).sum() / weights.sum(), abs=2e-6)
    assert (
        table(folder, "frames").drop(columns="face_id").equals(table(study, "frames").drop(columns="face_id"))
    )
    assert set(pd.read_csv(folder / "two" / "long.csv")["face_id"]) == {1, 2}
    joined = pd.read_parquet(folder / "people.parquet")
    assert len(joined) == 3  # with the one of the other clip


def test_undoing_every_kind_gives_the_bytes_of_before(corrected: Corrected, study: Path) -> None:
    entries = [MARK, RENAME, EXCLUDE, SPLIT, MERGE, {**NOBODY, "from_s": 1.2, "to_s": 1.3}]
    once = files_of(corrected(*entries))
    changed = {name for name, content in files_of(study).items() if once[name] != content}
    assert {"two/clip.json", "two/timeline.png", "two/long.csv", "people.csv", "study.json"} <= changed
    assert {f"two/{name}.{kind}" for name in TABLES for kind in ("csv", "parquet")} <= changed
    assert not any(name.startswith("one/") for name in changed)
    assert files_of(corrected(*entries)) == once  # applying twice changes nothing
    undos = [{"kind": "undo", "entry": number} for number in range(1, 7)]
    assert files_of(corrected(*entries, *undos)) == files_of(study)
    back = [{"kind": "undo", "entry": number} for number in range(7, 13)]
    assert files_of(corrected(*entries, *undos, *back)) == once


def test_corrections_stay_when_tables_are_computed_again(corrected: Corrected) -> None:
    folder = corrected(MERGE, MARK)
    before = files_of(folder)
    for path in folder.rglob("*"):
        if path.suffix in (".csv", ".parquet", ".png", ".eaf"):
            path.unlink()
    rewrite(folder)
    assert files_of(folder) == before


def smoothed(frames: pd.DataFrame, *, tau_s: float = 0.2) -> np.ndarray:
    """The oracle: one person's probabilities of single frames, smoothed as if no other frame existed."""
    times, raw = frames["time_s"].to_numpy(), frames[[f"raw_{name}" for name in FER2013]].to_numpy()
    weights = np.exp(-np.abs(times[:, None] - times[None]) / tau_s)
    weights[np.abs(times[:, None] - times[None]) > 3 * tau_s] = 0
    # Frames at equal distances; a row weighs by the mean of the steps at its sides.
    return weights @ raw / weights.sum(axis=1, keepdims=True)


def test_nothing_is_smoothed_across_a_split(corrected: Corrected, study: Path) -> None:
    frames = table(corrected(SPLIT), "frames")
    assert sorted(frames.loc[frames["face_id"] == 9, "time_s"].round(2))[0] == 0.6
    assert frames.loc[frames["face_id"] == 2, "time_s"].max() < 0.6
    for person in (2, 9):
        mine = frames[frames["face_id"] == person]
        assert mine[list(FER2013)].to_numpy() == pytest.approx(smoothed(mine), abs=5e-6)
    before = table(study, "frames")
    others = before["face_id"] != 2
    assert frames[others].equals(before[others])
    near = (before["face_id"] == 2) & (before["time_s"] - 0.6).abs().lt(0.05)
    assert np.abs(before.loc[near, "happy"] - frames.loc[near, "happy"]).max() > 3e-5


def test_excluded_stretches_are_in_no_table(corrected: Corrected, study: Path) -> None:
    frames = table(corrected(EXCLUDE), "frames")
    mine = frames[frames["face_id"] == 2]
    assert not mine["time_s"].between(0.3, 0.699).any()
    assert len(mine) == 50 - 10
    first = mine[mine["time_s"] < 0.3]
    early = first[first["time_s"] < 0.1]  # of 0.2 s, only frames before the gap and behind it are in reach
    assert early["happy"].to_numpy() == pytest.approx(smoothed(mine)[: len(early), 3], abs=5e-6)
    people = table(study, "people").set_index("face_id")
    left = table(corrected(EXCLUDE), "people").set_index("face_id")
    assert left.loc[2, "seconds"] == pytest.approx(people.loc[2, "seconds"] - 0.4)
    assert left.loc[1, "seconds"] == people.loc[1, "seconds"]


def test_a_stretch_excluded_for_all_has_frames_without_faces(corrected: Corrected) -> None:
    frames = table(corrected(NOBODY), "frames")
    inside = frames[frames["time_s"].between(0.3, 0.699)]
    assert len(inside) == 10
    assert inside["face_id"].isna().all()
    assert inside["corrected"].isna().all()


def test_a_marked_emotion_has_probability_one_and_is_named_as_set_by_hand(corrected: Corrected) -> None:
    folder = corrected(MARK)
    frames = table(folder, "frames")
    marked = frames["corrected"].fillna(False).astype(bool)
    assert frames.loc[marked, "time_s"].between(0.4, 0.799).all()
    assert marked.sum() == 10
    assert (frames.loc[marked, "fear"] == 1).all()
    assert (frames.loc[marked, "top"] == "fear").all()
    assert not frames.loc[marked, "uncertain"].any()
    assert (frames.loc[marked, "raw_fear"] < 0.9).all()  # what the model predicted stays
    people = table(folder, "people").set_index("face_id")
    assert people.loc[2, "corrected"] == pytest.approx(0.4 / 2, abs=1e-3)
    assert people.loc[1, "corrected"] == 0
    intervals = table(folder, "intervals").set_index(["face_id", "start_s"])
    assert intervals.loc[(2, 0.0), "corrected"] == pytest.approx(0.2, abs=1e-3)
    events = table(folder, "events")
    event = events[(events["face_id"] == 2) & (events["emotion"] == "fear") & (events["peak"] == 1)].iloc[0]
    assert event["corrected"] > 0.3


def test_a_name_is_in_the_tables_and_in_other_programs(corrected: Corrected) -> None:
    folder = corrected(RENAME)
    for name in ("frames", "people", "intervals", "events"):
        of_table = table(folder, name)
        assert set(of_table.loc[of_table["face_id"] == 2, "name"]) == {"Bob $x$"}
        assert of_table.loc[of_table["face_id"] != 2, "name"].isna().all()
    tiers = pympi.Elan.Eaf(str(folder / "two" / "two.eaf")).get_tier_names()
    assert {tier.split(":")[0] for tier in tiers} == {"person 1", "Bob $x$", "person 3"}
    boris = pd.read_csv(folder / "two" / "boris.tsv", sep="\t")
    assert set(boris["Subject"]) == {"person 1", "Bob $x$", "person 3"}


def test_a_merge_keeps_a_name_and_a_split_gives_none(corrected: Corrected) -> None:
    folder = corrected(
        {"kind": "rename", "person": 3, "name": "Ada"}, MERGE, {**SPLIT, "person": 1, "at_s": 1.5}
    )
    names = table(folder, "people").set_index("face_id")["name"]
    assert names[1] == "Ada"
    assert names[[2, 9]].isna().all()


def test_an_entry_about_all_clips_must_fit_one_of_them(corrected: Corrected, study: Path) -> None:
    rename = {**RENAME, "person": 1, "clip": None}
    folder = corrected({**MERGE, "clip": None}, rename)
    people = pd.read_csv(folder / "people.csv")
    assert people["face_id"].tolist() == [1, 1, 2]
    assert people["name"].fillna("").tolist() == ["Bob $x$", "Bob $x$", ""]
    with pytest.raises(CorrectionError, match="entry 3: it is about all clips, and fits none"):
        corrected({**MERGE, "clip": None}, rename, {**MERGE, "people": [8], "clip": None})


def test_the_sidecar_names_the_entries_in_effect(corrected: Corrected) -> None:
    folder = corrected(MERGE, RENAME, {"kind": "undo", "entry": 2}, MARK)
    facts = json.loads((folder / "two" / "clip.json").read_text())["corrections"]
    assert (facts["count"], facts["entries"], len(facts["sha256"])) == (2, [1, 4], 64)
    assert json.loads((folder / "study.json").read_text())["corrections"] == facts
    assert "corrections" not in json.loads((folder / "one" / "clip.json").read_text())
    document = json.loads((folder / FILE).read_text())
    assert document["format"] == FORMAT
    assert [entry["number"] for entry in document["entries"]] == [1, 2, 3, 4]


def test_results_of_a_clip_are_corrected_without_a_folder(study: Path) -> None:
    results = list(replay(study / "two" / "log.jsonl"))
    merged = mien.apply_corrections(results, [MERGE, MARK])
    assert {face.id for result in merged for face in result.faces} == {1, 2}
    frame = mien.to_frame(merged)
    assert (frame.loc[frame["time_s"].between(0.4, 0.799) & (frame["face_id"] == 2), "top"] == "fear").all()
    assert mien.apply_corrections(results, []) == results
    two = [{**MERGE, "clip": "two"}, {**RENAME, "clip": "one"}]
    with pytest.raises(CorrectionError, match="several clips: one, two"):
        mien.apply_corrections(results, two)
    assert mien.apply_corrections(results, two, clip="two") == mien.apply_corrections(results, [MERGE])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{**MERGE, "into": 2, "people": [1]}],
            r"\(merge\): people . and . are both seen in frame 0",
        ),
        ([{**MERGE, "people": [8]}], r"entry 1 \(merge\): the clip has no person 8"),
        ([{**MERGE, "into": 8}], r"no person 8"),
        ([MERGE, {**RENAME, "person": 3}], r"entry 2 \(rename\): the clip has no person 3 at this point"),
        ([{**SPLIT, "new": 3}], r"entry 1 \(split\): the number 3 is taken"),
        ([{**SPLIT, "at_s": 0}], r"person 2 is not seen before 0 s"),
        ([{**SPLIT, "at_s": 9}], r"person 2 is not seen at or after 9 s"),
        ([{**SPLIT, "person": 7}], r"no person 7"),
        ([{**EXCLUDE, "person": 1, "from_s": 1.2, "to_s": 3}], r"no person 1 from 1.2 to 3 s"),
        ([{**NOBODY, "from_s": 5, "to_s": 6}], r"no frame was analyzed from 5 to 6 s"),
        ([{**MARK, "emotion": "joy"}], r"entry 1 \(mark\): emotion is 'joy'. This model has angry, "),
        ([{**MARK, "from_s": 8, "to_s": 9}], r"no person 2 from 8 to 9 s"),
        ([RENAME, {**RENAME, "person": 1}], r"entry 2: 'Bob \$x\$' is the name of person 2"),
        ([{**MERGE, "clip": "three"}], r"the study has no clip 'three'. It has one, two"),
        (
            [SPLIT, {**RENAME, "person": 9}, {"kind": "undo", "entry": 1}],
            r"entry 2 .*no person 9",
        ),
    ],
)
def test_corrections_that_do_not_fit_change_nothing(
    corrected: Corrected, study: Path, tmp_path: Path, entries: list[Entry], message: str
) -> None:
    with pytest.raises(CorrectionError, match=message):
        corrected(*entries)
    assert files_of(tmp_path / "study") == files_of(study)
    assert not (tmp_path / "study" / FILE).exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "mrge"}, "the kind is 'mrge'. Use merge, split, rename, exclude, mark, undo"),
        ({}, "the kind is None"),
        ({"kind": "split", "person": 1, "at_s": 3}, "new is missing. The kind split has the keys clip, note"),
        ({**SPLIT, "when": 3}, "'when' is not known. The kind split has the keys"),
        ({**SPLIT, "new": 2}, "the new number must be another one"),
        ({**SPLIT, "at_s": -1}, "at_s is -1: input should be greater than or equal to 0"),
        ({**SPLIT, "person": "2"}, "person is '2': input should be a valid integer"),
        ({**SPLIT, "person": True}, "person is True"),
        ({**MERGE, "people": []}, r"people is \[\]"),
        ({**MERGE, "people": [1]}, "name each person once"),
        ({**EXCLUDE, "to_s": 0.3}, "to_s must be later than from_s"),
        ({**MARK, "to_s": float("inf")}, "to_s is inf"),
        ({**RENAME, "name": "person 7"}, "people without a name are called"),
        ({**RENAME, "name": " a"}, "without spaces at its ends"),
        ({"kind": "undo", "entry": 1}, "it undoes entry 1, which does not come before it"),
    ],
)
def test_a_malformed_entry_is_named_with_the_value_and_the_remedy(entry: Entry, message: str) -> None:
    with pytest.raises(CorrectionError, match=f"entry 1: .*{message}"):
        corrections_of([entry])


def test_an_entry_is_undone_once() -> None:
    undo = {"kind": "undo", "entry": 1}
    with pytest.raises(CorrectionError, match="entry 3: entry 1 is undone already"):
        corrections_of([MERGE, undo, undo])
    assert corrections_of([MERGE, undo, {"kind": "undo", "entry": 2}, undo]).in_effect == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "the format is 'list'"),
        ('{"format": "mien corrections 9", "entries": []}', "the format is 'mien corrections 9'"),
        (json.dumps({"format": FORMAT, "entries": {}}), "entries must be a list"),
        (json.dumps({"format": FORMAT, "entries": [3]}), "entry 1: it is 3, but must be an object"),
        (json.dumps({"format": FORMAT, "entries": [{**MERGE, "number": 2}]}), "entry 1: its number is 2"),
    ],
)
def test_a_file_that_is_none_of_corrections_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(CorrectionError, match=message):
        corrections_in(tmp_path)


def test_entries_are_only_added(corrected: Corrected) -> None:
    folder = corrected(MERGE, MARK)
    with pytest.raises(CorrectionError, match=r"has 1 entries, but .* has 2"):
        corrected(MERGE)
    with pytest.raises(CorrectionError, match=r"entry 2 is not that of .*Add an undo"):
        corrected(MERGE, RENAME)
    assert len(corrections_in(folder).entries) == 2


def test_a_clip_that_is_analyzed_again_keeps_its_corrections(
    corrected: Corrected, clips: Path, model: Path
) -> None:
    folder = corrected(MERGE, RENAME)
    before = files_of(folder)
    assert predict(clips, folder, model=model, overwrite=True) == (0, [])
    assert files_of(folder) == before


def test_corrections_that_fit_no_more_are_reported_and_left_out(
    corrected: Corrected, study: Path, clips: Path, model: Path
) -> None:
    folder = corrected(MERGE)
    count, errors = predict(clips, folder, model=model, overwrite=True, end_s=0.8)
    assert count == 1
    assert "no person 3 at this point" in errors[0]
    assert "without corrections" in errors[0]
    sidecar = json.loads((folder / "two" / "clip.json").read_text())
    assert sidecar["corrections_error"] == errors[0]
    # It once counted the entry, which no table has.
    assert "corrections" not in json.loads((folder / "study.json").read_text())
    assert set(table(folder, "frames")["face_id"]) == {1, 2}
    assert len(corrections_in(folder).entries) == 1


def test_a_folder_without_a_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not the folder of a study"):
        mien.apply_corrections(tmp_path, [])
