"""Photos at addresses of stores: a server on this machine that speaks S3, memory and file addresses."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from mien.batch import ClipReadOptions, read_clips, read_images
from mien.batch.sources import is_store, iter_files, without_secrets
from mien.errors import ImageError
from mien.testing.clips import write_clip

fsspec = pytest.importorskip("fsspec")
SECRET = "a-secret-that-no-file-may-hold"


@pytest.fixture
def bucket(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket with the photos, in moto's server on 127.0.0.1."""
    pytest.importorskip("s3fs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the packages of the server
        server_of = pytest.importorskip("moto.server")
        boto3 = pytest.importorskip("boto3")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "mien-tests",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    for path in photos.rglob("*.*"):
        client.upload_file(str(path), "photos", f"set/{path.relative_to(photos).as_posix()}")
    client.put_object(Bucket="photos", Key="set/notes.md", Body=b"no image")
    fsspec.filesystem("s3").clear_instance_cache()
    yield "s3://photos/set"
    server.stop()
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of ten frames."""
    path = tmp_path_factory.mktemp("clip") / "c.mkv"
    return write_clip(path, [np.full((90, 160, 3), 90, np.uint8)] * 10)


def test_clips_of_a_bucket_are_read_whole(bucket: str, clip: Path, tmp_path: Path) -> None:
    import boto3

    boto3.client("s3").upload_file(str(clip), "photos", "set/more/c.mkv")
    fsspec.filesystem("s3").clear_instance_cache()
    options = ClipReadOptions(interval_s=0.2, range_s=1.0)
    result = read_clips([bucket], tmp_path / "out", options, workers=1)
    assert (result.files, result.ranges, result.frames, result.failed) == (1, 0, 2, 0)
    rows = pd.read_parquet(tmp_path / "out" / "clips.parquet")
    assert set(rows["source"]) == {f"{bucket}/more/c.mkv"}
    assert read_clips([bucket], tmp_path / "out", options, workers=1).known == 1


def rows_of(out: Path) -> pd.DataFrame:
    table = pd.read_parquet(out / "images")
    table["name"] = table["source"].str.split("/").str[-1]
    return table.sort_values(["name", "face_id"]).reset_index(drop=True)


def test_a_bucket_gives_the_rows_of_the_same_files_on_disk(bucket: str, photos: Path, tmp_path: Path) -> None:
    result = read_images([bucket], tmp_path / "s3", workers=2)
    assert (result.files, result.failed) == (10, 2)
    read_images([photos], tmp_path / "disk", workers=1)
    there, here = rows_of(tmp_path / "s3"), rows_of(tmp_path / "disk")
    names = [name for name in here.columns if name not in ("source", "file_id", "version", "message")]
    pd.testing.assert_frame_equal(there[names], here[names])
    files = {path.relative_to(photos).as_posix() for path in photos.rglob("*.*")}
    assert set(there["source"]) == {f"{bucket}/{file}" for file in files}
    assert {file.name for file in iter_files([bucket])} == {file.name for file in iter_files([str(photos)])}


def test_a_second_run_over_a_bucket_reads_what_has_changed(bucket: str, photos: Path, tmp_path: Path) -> None:
    import boto3

    out = tmp_path / "out"
    read_images([bucket], out, workers=1)
    assert read_images([bucket], out, workers=1).files == 0
    boto3.client("s3").upload_file(str(photos / "0.jpg"), "photos", "set/2.jpg")
    fsspec.filesystem("s3").invalidate_cache()
    result = read_images([bucket], out, workers=1)
    assert (result.files, result.changed, result.known) == (1, 1, 9)
    assert rows_of(out)["source"].nunique() == 10


def test_patterns_single_files_and_lists_of_a_bucket(bucket: str, tmp_path: Path) -> None:
    assert [file.name for file in iter_files([f"{bucket}/0.jpg"])] == ["0.jpg"]
    matched = [file.name for file in iter_files([f"{bucket}/more/*.jpg"])]
    assert matched == ["1.jpg", "3.jpg", "5.jpg", "7.jpg"]
    (tmp_path / "list.txt").write_text(f"{bucket}/0.jpg\n{bucket}/more/1.jpg\n")
    assert len(list(iter_files([str(tmp_path / "list.txt")]))) == 2
    with pytest.raises(ImageError, match=r"s3://photos/nothing .*contains no images|cannot be listed"):
        list(iter_files(["s3://photos/nothing"]))


def test_credentials_are_in_no_file_and_no_message(bucket: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = "from mien.cli.app import main; main()"
    shown = ""
    for address, port in ((bucket, None), (bucket, "http://127.0.0.1:9"), (f"{bucket}?token={SECRET}", None)):
        environment = os.environ | ({"AWS_ENDPOINT_URL": port, "AWS_MAX_ATTEMPTS": "1"} if port else {})
        command = [sys.executable, "-c", script, "predict", address, "--out", str(out), "--threads", "1"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
        shown += done.stdout + done.stderr
    assert "photos read" in shown
    assert "cannot be" in shown
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert SECRET not in shown
    assert b"mien-tests" not in content
    assert SECRET.encode() not in content


def test_messages_lose_passwords_queries_and_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET_KEY", SECRET)
    text = without_secrets(f"ftp://me:pass@host/x.jpg?X-Amz-Signature=abc failed with {SECRET}.")
    assert text == "ftp://host/x.jpg failed with ***"


def test_addresses_of_files_and_memory_are_read(photos: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/set/a.jpg", (photos / "0.jpg").read_bytes())
    result = read_images(["memory://set", f"file://{photos}/more"], tmp_path / "out", workers=1)
    assert (result.files, result.failed) == (6, 1)
    assert {source.split("://")[0] for source in rows_of(tmp_path / "out")["source"]} == {"memory", "file"}
    memory.rm("/set", recursive=True)


@pytest.mark.parametrize(
    ("scheme", "package", "system", "secret"),
    [
        ("gs", "gcsfs", "gcsfs.GCSFileSystem", "GOOGLE_APPLICATION_TOKEN"),
        ("hf", "huggingface_hub", "huggingface_hub.HfFileSystem", "HF_TOKEN"),
    ],
)
def test_addresses_of_other_stores_reach_their_file_system_without_secrets(
    photos: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    package: str,
    system: str,
    secret: str,
) -> None:
    """A file system in memory stands where the store's own would: there is no login in a test."""
    from fsspec.implementations.memory import MemoryFileSystem
    from fsspec.registry import _registry, known_implementations

    assert known_implementations[scheme]["class"] == system
    if importlib.util.find_spec(package):
        assert fsspec.get_filesystem_class(scheme).__name__ == system.split(".")[-1]

    class Store(MemoryFileSystem):
        protocol = scheme
        store: ClassVar[dict[str, object]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(super()._strip_protocol(path.removeprefix(f"{scheme}://")))

        def cat_file(self, path: str, *args: object, **options: object) -> bytes:
            if path.endswith("denied.jpg"):
                raise PermissionError(
                    f"{scheme}://me:{SECRET}@host/{path}?token={SECRET} is not for {SECRET}"
                )
            return super().cat_file(path, *args, **options)

    monkeypatch.setenv(secret, SECRET)
    monkeypatch.setitem(_registry, scheme, Store)
    store = fsspec.filesystem(scheme)
    store.pipe("/set/a.jpg", (photos / "0.jpg").read_bytes())
    store.pipe("/set/denied.jpg", b"x")
    store.pipe("/set/c.mkv", clip.read_bytes())
    address, out = f"{scheme}://set", tmp_path / "out"
    result = read_images([address], out, workers=1)
    assert (result.files, result.failed) == (2, 1)
    assert "cannot be read" in result.failures[0][1]
    read = read_clips([address], out, ClipReadOptions(interval_s=0.2), workers=1)
    assert (read.files, read.failed, read.frames) == (1, 0, 2)
    rows = pd.read_parquet(out / "clips.parquet")
    assert set(rows["source"]) == {f"{scheme}://set/c.mkv"}
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert SECRET.encode() not in content
    assert SECRET not in repr(result) + repr(read)


def test_streams_are_not_stores_and_unknown_schemes_are_named(tmp_path: Path) -> None:
    assert not is_store("rtsp://camera.local/1")
    assert not is_store("https://host/clip.mp4")
    with pytest.raises(ImageError, match="nowhere://x cannot be opened"):
        read_images(["nowhere://x"], tmp_path / "out", workers=1)
