"""The function for engines of data frames: plain arrays in and out."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mien
import mien.batch

PHOTO = Path(__file__).parent.parent.parent / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def function() -> mien.batch.ImageFunction:
    return mien.batch.udf()


def test_columns_have_one_length_and_known_types(function: mien.batch.ImageFunction) -> None:
    blank = np.full((64, 64, 3), 200, np.uint8)
    columns = function([PHOTO.read_bytes(), b"nothing", blank, None])
    assert {len(values) for values in columns.values()} == {4}
    assert columns["row"].tolist() == [0, 1, 2, 3]
    assert columns["face_id"].tolist() == [1, 0, 0, 0]
    assert columns["error"].tolist() == ["", "ImageError", "", "ValueError"]
    assert columns["width"].tolist() == [512, 0, 64, 0]
    assert np.isnan(columns["happy"]).tolist() == [False, True, True, True]
    assert {name: str(values.dtype) for name, values in columns.items()} == function.columns()


def test_faces_are_those_of_analyze(function: mien.batch.ImageFunction) -> None:
    (face,) = mien.analyze(PHOTO)
    columns = function([str(PHOTO)] * 3)
    assert columns["top"].tolist() == [face.top[0]] * 3
    assert columns["happy"] == pytest.approx([face.emotions["happy"]] * 3, abs=1e-5)
    (first, *_) = function.by_image([PHOTO])
    assert (first["width"], first["error"], first["faces"][0]["top"]) == (512, None, face.top[0])


def test_a_pickled_function_gives_the_same_rows(function: mien.batch.ImageFunction) -> None:
    again = pickle.loads(pickle.dumps(function))
    assert len(pickle.dumps(function)) < 2000  # no model in it
    pd.testing.assert_frame_equal(pd.DataFrame(again([PHOTO])), pd.DataFrame(function([PHOTO])))


def test_crops_are_read_without_detection() -> None:
    columns = mien.batch.udf(crops=True, labels="fer2013")([np.zeros((48, 48), np.uint8)])
    assert columns["face_id"].tolist() == [1]
    assert np.isnan(columns["confidence"]).all()
    assert "contempt" not in columns


def test_daft_runs_the_function() -> None:
    daft = pytest.importorskip("daft")

    dtype = daft.DataType.from_arrow_type(mien.batch.udf().arrow_type())

    @daft.cls
    class Faces:
        def __init__(self) -> None:
            self.function = mien.batch.udf()

        @daft.method.batch(return_dtype=dtype)
        def read(self, images: daft.Series) -> list:
            return self.function.by_image(images.to_pylist())

    frame = daft.from_pydict({"name": ["a", "b"], "image": [PHOTO.read_bytes(), b"nothing"]})
    found = frame.with_column("found", Faces().read(frame["image"])).to_pydict()
    assert found["found"][0]["faces"][0]["top"] == "happy"
    assert found["found"][1]["error"] == "ImageError"


def reader(function: mien.batch.ImageFunction) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The function of the documentation for Spark and Dask."""

    def read(part: pd.DataFrame) -> pd.DataFrame:
        rows = pd.DataFrame(function(part["image"].tolist()))
        return rows.assign(name=part["name"].to_numpy()[rows["row"]])

    return read


@pytest.fixture
def images() -> pd.DataFrame:
    return pd.DataFrame({"name": ["a", "b"], "image": [PHOTO.read_bytes(), b"nothing"]}, index=[7, 9])


def test_the_function_of_the_documentation_keeps_names(
    function: mien.batch.ImageFunction, images: pd.DataFrame
) -> None:
    rows = reader(function)(images)
    assert rows["name"].tolist() == ["a", "b"]
    assert rows["top"].tolist() == ["happy", ""]


def test_dask_runs_the_function(function: mien.batch.ImageFunction, images: pd.DataFrame) -> None:
    dask = pytest.importorskip("dask")
    frames = pytest.importorskip("dask.dataframe")
    read = reader(function)
    with dask.config.set({"dataframe.convert-string": False}):  # it would take bytes for text
        frame = frames.from_pandas(images, npartitions=2)
        rows = frame.map_partitions(read, meta=read(images.head(0))).compute(scheduler="sync")
    assert rows["top"].tolist() == ["happy", ""]
    assert rows["error"].tolist() == ["", "ImageError"]


@pytest.mark.filterwarnings("ignore")  # its own about pandas
def test_spark_runs_the_function(
    function: mien.batch.ImageFunction, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs Java too."""
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    read, names = reader(function), {"object": "string", "bool": "boolean", "int64": "bigint"}
    names |= {"int32": "int", "float64": "double", "float32": "float"}
    schema = ", ".join(f"`{name}` {names.get(kind, 'string')}" for name, kind in function.columns().items())
    options = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
    options |= {"spark.driver.bindAddress": "127.0.0.1"}
    spark = sql.SparkSession.builder.master("local[1]").config(map=options).getOrCreate()
    try:
        frame = spark.createDataFrame(images.reset_index(drop=True))
        rows = frame.mapInPandas(lambda parts: map(read, parts), f"{schema}, name string").collect()
    finally:
        spark.stop()
    assert [(row["name"], row["top"], row["error"]) for row in rows] == [
        ("a", "happy", ""),
        ("b", "", "ImageError"),
    ]
