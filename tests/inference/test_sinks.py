from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from mien.emotions import ABSTAIN, FERPLUS, VOTES
from mien.inference.face import Face, read_face
from mien.inference.sinks import (
    CsvSink,
    ImageResult,
    JsonLinesSink,
    JsonSink,
    ReadFailure,
    Sink,
    image_columns,
)
from mien.models.card import Head

VOTES_HEAD = Head("votes", VOTES, ABSTAIN)


def some_face(seed: int) -> Face:
    row = np.random.default_rng(seed).dirichlet(np.ones(10)).astype(np.float32)
    return read_face(row, VOTES_HEAD, box=(10, 20, 30.25, 40), confidence=0.75)


RESULTS = [
    ImageResult('a "quoted", name.jpg', 640, 480, (some_face(0), some_face(1))),
    ImageResult("nobody é.png", 10, 20, ()),
]
FAILURE = ReadFailure("broken.jpg", "it is cut short")


def written(make: Callable[[io.StringIO], Sink]) -> str:
    stream = io.StringIO(newline="")
    sink = make(stream)
    sink.write(RESULTS[0])
    sink.fail(FAILURE)
    sink.write(RESULTS[1])
    sink.close()
    return stream.getvalue()


def test_the_document_holds_model_results_and_errors() -> None:
    document = json.loads(written(lambda stream: JsonSink(stream, "mien-x")))
    assert document == {
        "model": "mien-x",
        "results": [json.loads(json.dumps(result.to_dict())) for result in RESULTS],
        "errors": [{"source": "broken.jpg", "error": "it is cut short"}],
    }
    first = document["results"][0]
    assert (first["source"], first["width"], first["height"]) == ('a "quoted", name.jpg', 640, 480)
    assert first["faces"][0]["emotions"] == RESULTS[0].faces[0].emotions


def test_a_document_without_results_is_whole() -> None:
    stream = io.StringIO()
    JsonSink(stream, "m").close()
    assert json.loads(stream.getvalue()) == {"model": "m", "results": [], "errors": []}


def test_an_interrupted_run_leaves_a_whole_document() -> None:
    stream = io.StringIO()

    def run() -> None:
        with closing(JsonSink(stream, "m")) as sink:
            sink.write(RESULTS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(json.loads(stream.getvalue())["results"]) == 1


def test_the_document_is_written_as_the_images_come() -> None:
    stream = io.StringIO()
    sink = JsonSink(stream, "m")
    sink.write(RESULTS[0])
    assert "quoted" in stream.getvalue()


def test_json_lines_hold_one_image_each_in_their_order() -> None:
    lines = [json.loads(line) for line in written(lambda s: JsonLinesSink(s, {"model": "m"})).splitlines()]
    assert [line["source"] for line in lines] == [RESULTS[0].source, "broken.jpg", RESULTS[1].source]
    assert [line["model"] for line in lines] == ["m"] * 3
    assert "faces" not in lines[1]
    assert lines[2]["faces"] == []


def test_csv_has_one_row_per_face_and_one_for_images_without() -> None:
    text = written(lambda stream: CsvSink(stream, image_columns(VOTES_HEAD)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["source"] for row in rows] == [
        RESULTS[0].source, RESULTS[0].source, "broken.jpg", RESULTS[1].source
    ]  # fmt: skip
    assert [row["face_id"] for row in rows] == ["1", "2", "", ""]
    assert [row["error"] for row in rows] == ["", "", "it is cut short", ""]
    face = RESULTS[0].faces[1]
    assert {name: float(rows[1][name]) for name in FERPLUS} == face.emotions
    assert {name: float(rows[1][name.replace(" ", "_")]) for name in ABSTAIN} == face.abstentions
    assert (rows[1]["top"], rows[1]["box_width"]) == (face.top[0], "30.25")


def test_pandas_reads_the_csv_with_missing_values_for_missing_faces() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(io.StringIO(written(lambda stream: CsvSink(stream, image_columns(VOTES_HEAD)))))
    assert len(table) == 4
    assert table["happy"].isna().sum() == 2
    assert table["happy"].mean() == pytest.approx(np.mean([f.emotions["happy"] for f in RESULTS[0].faces]))
