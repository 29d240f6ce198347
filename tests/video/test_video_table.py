from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mien.emotions import ABSTAIN, FERPLUS, VOTES
from mien.errors import UsageError
from mien.inference.face import Face
from mien.inference.sinks import ImageResult, image_columns
from mien.models.card import Head
from mien.video.output.table import columns, open_table, to_frame
from mien.video.results import FrameResult, TrackedFace
from mien.video.summary import summary

HEAD = Head("votes", VOTES, ABSTAIN)


def said(top: str, share: float = 0.8) -> Face:
    emotions = {name: share if name == top else (1 - share) / 7 for name in FERPLUS}
    return Face((10.004, 20, 30, 40), 0.91234, emotions, {"unknown": 0.03, "not a face": 0.01})


def face(person: int, top: str, *, raw: str | None = None, share: float = 0.8) -> TrackedFace:
    return TrackedFace(person, said(top, share), said(raw or top), detected=person == 1)


def results(tops: list[dict[int, str]], *, rate: float = 10, source: str = "a.mp4") -> list[FrameResult]:
    return [
        FrameResult(source, i, i / rate, tuple(face(*it) for it in people.items()))
        for i, people in enumerate(tops)
    ]


SCENE = results([{1: "happy", 2: "sad"}, {}, {1: "fear"}])


def test_each_face_has_a_row_and_a_frame_without_faces_has_one() -> None:
    made = [row for result in SCENE for row in result.rows()]
    assert [(row["frame"], row.get("face_id")) for row in made] == [(0, 1), (0, 2), (1, None), (2, 1)]
    assert set(made[0]) == set(columns(HEAD))


def test_smoothed_and_raw_have_columns_of_their_own() -> None:
    (row,) = FrameResult("a", 0, 0.0, (face(1, "happy", raw="sad"),)).rows()
    assert (row["top"], row["happy"], row["raw_happy"], row["raw_sad"]) == ("happy", 0.8, 0.028571, 0.8)
    assert (row["x"], row["box_height"], row["confidence"]) == (10.0, 40, 0.9123)


def text(form: str, folder: Path, results: list[FrameResult], failures: list[tuple[str, str]]) -> str:
    with open_table(folder / "t", form, model="model", head=HEAD) as table:
        for result in results:
            table.write(result)
        for failure in failures:
            table.fail(*failure)
    return (folder / "t").read_text(encoding="utf-8")


def test_csv_reads_back_with_pythons_own_reader(tmp_path: Path) -> None:
    read = list(csv.DictReader(io.StringIO(text("csv", tmp_path, SCENE, [("b", "cut")]))))
    assert list(read[0]) == columns(HEAD)
    assert [row["face_id"] for row in read] == ["1", "2", "", "1"]
    assert float(read[1]["sad"]) == 0.8


def test_json_is_one_document_with_errors_at_its_end(tmp_path: Path) -> None:
    document = json.loads(text("json", tmp_path, SCENE, [("b", "cut")]))
    assert document["results"] == json.loads(json.dumps([result.to_dict() for result in SCENE]))
    assert document["errors"] == [{"source": "b", "error": "cut"}]
    assert json.loads(text("json", tmp_path, [], [])) == {"model": "model", "results": [], "errors": []}


def test_json_lines_have_the_tables_columns(tmp_path: Path) -> None:
    lines = text("jsonl", tmp_path, SCENE, [("b", "cut")]).splitlines()
    rows = [row for result in SCENE for row in result.rows()]
    assert [json.loads(line) for line in lines] == [*rows, {"source": "b", "error": "cut"}]


def test_the_pandas_table_of_images_has_a_row_per_face_and_one_for_an_image_without() -> None:
    faces = [said("happy"), said("sad")]
    one, many = to_frame(faces), to_frame([faces, [], [said("fear")]])
    assert one["face_id"].tolist() == [1, 2]
    assert one["sad"].tolist() == [faces[0].emotions["sad"], 0.8]
    assert many["image"].tolist() == [0, 0, 1, 2]
    assert many["face_id"].tolist() == [1, 2, pd.NA, 1]
    assert list(many.columns) == list(one.columns)
    images = to_frame([ImageResult("a.jpg", 64, 48, (said("happy"),)), ImageResult("b.jpg", 9, 9, ())])
    assert images["source"].tolist() == ["a.jpg", "b.jpg"]
    assert list(images.columns) == [name for name in image_columns(HEAD) if name != "error"]


def test_the_pandas_table_holds_the_rows() -> None:
    frame = to_frame(SCENE)
    assert list(frame.columns) == columns(HEAD)
    assert frame["face_id"].tolist() == [1, 2, pd.NA, 1]
    assert frame.loc[1, "sad"] == 0.8
    assert str(frame["detected"].dtype) == "boolean"
    assert list(to_frame([]).columns)[:4] == ["source", "frame", "time_s", "face_id"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
def test_a_table_gone_on_with_is_the_table_in_one_go(tmp_path: Path, form: str) -> None:
    """What an interrupted run wrote behind the point that it goes on from is dropped."""
    whole, broken = tmp_path / f"whole.{form}", tmp_path / f"broken.{form}"
    many = [result for i in range(5) for result in SCENE]
    with open_table(whole, form, model="m", head=HEAD) as table:
        for result in many:
            table.write(result)
    size = []

    def interrupted() -> None:
        with open_table(broken, form, model="m", head=HEAD) as table:
            for result in many[:7]:
                table.write(result)
            size.append(table.sync())
            table.write(many[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert broken.exists()  # what was read is kept
    with open_table(broken, form, model="m", head=HEAD, size=size[0]) as table:
        for result in many[7:]:
            table.write(result)
    if form == "parquet":
        assert pq.read_table(broken).equals(pq.read_table(whole))
    else:
        assert broken.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_parquet_holds_the_rows_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.video.output.table._PARQUET_ROWS", 3)
    with open_table(tmp_path / "t.parquet", "parquet", model="m", head=HEAD) as table:
        for result in SCENE * 2:
            table.write(result)
    read = pd.read_parquet(tmp_path / "t.parquet")
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 3
    wanted = to_frame(SCENE * 2)
    assert list(read.columns) == list(wanted.columns)
    assert read["face_id"].tolist()[:2] == [1, 2]
    assert read["raw_sad"].tolist() == pytest.approx(wanted["raw_sad"].tolist(), nan_ok=True)


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "none" / "t.csv"
    with pytest.raises(UsageError, match="cannot be written"), open_table(path, "csv", model="m", head=HEAD):
        pass


# Ten pictures a second: one second of happy, half of neutral, one of nobody, one of happy.
STORY: list[dict[int, str]] = [{1: "happy"}] * 10 + [{1: "neutral"}] * 5 + [{}] * 10 + [{1: "happy"}] * 10


def test_time_shares_switches_and_runs_of_a_known_story() -> None:
    (person,) = summary(to_frame(results(STORY))).to_dict("records")
    assert person["seconds"] == pytest.approx(2.5)
    assert (person["first_s"], person["last_s"]) == (0, pytest.approx(3.4))
    assert person["share_happy"] == pytest.approx(2.0 / 2.5)
    assert person["share_neutral"] == pytest.approx(0.5 / 2.5)
    assert (person["top"], person["switches"]) == ("happy", 1)  # none over the second without the face
    assert (person["longest"], person["longest_s"]) == ("happy", pytest.approx(1.0))
    assert sum(value for name, value in person.items() if str(name).startswith("share_")) == pytest.approx(1)


def test_a_run_goes_on_over_a_blink_of_the_detector() -> None:
    tops: list[dict[int, str]] = [{1: "happy"}] * 5 + [{}] * 2 + [{1: "happy"}] * 5
    (person,) = summary(to_frame(results(tops))).to_dict("records")
    assert (person["switches"], person["longest_start_s"]) == (0, 0)
    assert person["longest_s"] == pytest.approx(1.0)


def test_frames_far_apart_count_for_the_time_between_them() -> None:
    (person,) = summary(to_frame(results([{1: "happy"}, {1: "sad"}, {1: "sad"}], rate=0.5))).to_dict(
        "records"
    )
    assert person["seconds"] == pytest.approx(6)
    assert person["share_sad"] == pytest.approx(4 / 6)
    assert (person["switches"], person["longest"]) == (1, "sad")


def test_each_clip_and_person_has_a_row() -> None:
    both = results([{1: "happy", 2: "sad"}] * 3) + results([{1: "fear"}] * 3, source="b.mp4")
    table = summary(to_frame(both))
    assert table[["source", "face_id", "top"]].values.tolist() == [
        ["a.mp4", 1, "happy"],
        ["a.mp4", 2, "sad"],
        ["b.mp4", 1, "fear"],
    ]
    assert summary(to_frame(results([{}]))).empty


def test_a_face_that_never_changes_is_static_and_one_that_does_or_was_short_is_not() -> None:
    def seen(person: int, change: float) -> TrackedFace:
        return replace(face(person, "happy"), change=change)

    long = [FrameResult("a.mp4", i, i / 10, (seen(1, 1.2), seen(2, 6.0))) for i in range(20)]
    short = [FrameResult("b.mp4", i, i / 10, (seen(1, 0.0),)) for i in range(5)]
    table = summary(to_frame([*long, *short]))
    assert table["static"].tolist() == [True, False, False]
    assert table["confidence"].tolist() == pytest.approx([0.9123] * 3)


def test_who_was_seen_for_a_moment_can_be_left_out() -> None:
    table = to_frame(results([{1: "happy", 2: "sad"}] * 3 + [{1: "happy"}] * 7))
    assert summary(table, shortest_s=0.5)["face_id"].tolist() == [1]
    assert summary(table)["face_id"].tolist() == [1, 2]


def test_the_summary_of_the_file_is_that_of_the_results(tmp_path: Path) -> None:
    with open_table(tmp_path / "t.csv", "csv", model="m", head=HEAD) as table:
        for result in results(STORY):
            table.write(result)
    read = summary(pd.read_csv(tmp_path / "t.csv"))
    pd.testing.assert_frame_equal(read, summary(to_frame(results(STORY))))


def test_a_table_without_the_columns_is_refused() -> None:
    with pytest.raises(UsageError, match="time_s"):
        summary(pd.DataFrame({"source": [], "frame": []}))
