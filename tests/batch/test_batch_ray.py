"""The engine ray, on a cluster of two nodes of one core each, on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import mien.batch
from mien.batch import read_images
from mien.errors import MissingExtra

# In a process of its own: Ray leaves threads behind, and warns.
_SCRIPT = """
import sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from mien.batch import RayEngine, read_images

photos, out = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
node = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()


def lose_a_node(what, done, total):
    if what == "reading" and done >= 8 and cluster.worker_nodes:
        cluster.remove_node(node, allow_graceful=False)


result = read_images([photos], out, part_files=4, engine=RayEngine(cluster.address), progress=lose_a_node)
print(result.files, result.failed, len(cluster.list_all_nodes()))
cluster.shutdown()
"""


def rows_of(out: Path) -> pd.DataFrame:
    table = pd.read_parquet(out / "images").drop(columns="file_id")
    return table.sort_values(["source", "face_id"]).reset_index(drop=True)


def test_two_nodes_give_the_rows_of_this_machine_though_one_is_killed(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for number in range(40):
        shutil.copy(photos / f"{number % 4 * 2}.jpg", photos / f"copy-{number:02}.jpg")
    (tmp_path / "run.py").write_text(_SCRIPT)
    command = [sys.executable, tmp_path / "run.py", photos, tmp_path / "ray"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["50", "2", "1"]
    read_images([photos], tmp_path / "here", workers=1, part_files=4)
    pd.testing.assert_frame_equal(rows_of(tmp_path / "ray"), rows_of(tmp_path / "here"))
    parts = [
        [path.name for path in sorted((tmp_path / each / "images").iterdir())] for each in ("ray", "here")
    ]
    assert parts[0] == parts[1]


@pytest.mark.usefixtures("crashing")
def test_a_file_that_ends_its_workers_costs_one_file(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "run.py").write_text(
        "import sys; from mien.batch import RayEngine, read_images\n"
        "result = read_images([sys.argv[1]], sys.argv[2], workers=1, engine=RayEngine())\n"
        "print(result.files, result.failed)\n"
    )
    command = [sys.executable, tmp_path / "run.py", photos, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["10", "2"]
    rows = rows_of(tmp_path / "out").set_index("source")
    assert rows.loc[str(photos / "broken.jpg"), "error"] == "ProcessEnded"
    assert rows["face_id"].count() == 8


def test_without_ray_the_message_says_what_to_install(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"--shard needs nothing.*mien\[ray\]"):
        read_images([photos], tmp_path / "out", engine=mien.batch.RayEngine())
