"""The files in deploy/: manifests by schemas of Kubernetes and KubeRay, scripts of Slurm by running them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

from mien.cli.app import app

yaml = pytest.importorskip("yaml")
jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PHOTO = ROOT / "examples" / "astronaut.jpg"

# The fields of RayJob and RayCluster in KubeRay's API v1 that a job may use, and their types.
# Source: KubeRay, ray-operator/apis/ray/v1/rayjob_types.go and raycluster_types.go.
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_GROUP = {"rayStartParams": _TEXTS, "template": {"type": "object"}}
_COUNT = {"type": "integer", "minimum": 0}
RAY_JOB = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entrypoint", "rayClusterSpec"],
    "properties": {
        "entrypoint": {"type": "string"},
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": _COUNT,
        "activeDeadlineSeconds": _COUNT,
        "backoffLimit": _COUNT,
        "runtimeEnvYAML": {"type": "string"},
        "rayClusterSpec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["headGroupSpec"],
            "properties": {
                "rayVersion": {"type": "string"},
                "headGroupSpec": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["rayStartParams", "template"],
                    "properties": _GROUP,
                },
                "workerGroupSpecs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": [*_GROUP, "groupName", "minReplicas", "maxReplicas"],
                        "properties": _GROUP
                        | {"groupName": {"type": "string"}}
                        | dict.fromkeys(("replicas", "minReplicas", "maxReplicas", "numOfHosts"), _COUNT),
                    },
                },
            },
        },
    },
}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def check_kubernetes(document: dict[str, Any]) -> None:
    """Raise for a document that is not one of Kubernetes; unknown fields are errors."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(document, "1.33", strict=True)


def check_command(command: str) -> None:
    """Raise for a command of mien that does not exist, or an option that it does not have."""
    name, *words = shlex.split(command)
    assert name == "mien"
    verb = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    verb.make_context(words[0], words[1:])


def test_the_ray_job_has_the_fields_of_kuberay_and_pods_of_kubernetes() -> None:
    (job,) = documents("ray-job.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    jsonschema.validate(job["spec"], RAY_JOB)
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}} | group["template"]
        check_kubernetes(pod)
    check_command(job["spec"]["entrypoint"])
    pinned = (ROOT / "requirements" / "constraints.txt").read_text().split("\nray==")[1].split("\n")[0]
    assert cluster["rayVersion"] == pinned


def test_the_training_job_is_one_of_kubernetes() -> None:
    several = documents("kubernetes-train.yaml")
    assert [document["kind"] for document in several] == ["Service", "Job"]
    for document in several:
        check_kubernetes(document)
    command = several[1]["spec"]["template"]["spec"]["containers"][0]["command"]
    subprocess.run(["sh", "-n", "-c", command[2]], check=True)


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, str]:
    """An environment in which `srun` runs a command, `torchrun` prints it, and `mien` is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "srun": 'exec "$@"',
        "scontrol": "echo node1; echo node2",
        "torchrun": 'echo "$@"',
        "mien": f'exec {shlex.quote(sys.executable)} -m mien.cli.app "$@"',
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")
def test_tasks_of_the_array_read_every_file_once(commands: dict[str, str], tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "faces"
    photos.mkdir()
    for number in range(4):
        shutil.copy(PHOTO, photos / f"{number}.jpg")
    (photos / "broken.jpg").write_bytes(b"nothing")
    for task in ("1", "2"):
        environment = commands | {"PHOTOS": str(photos), "OUT": str(out), "SLURM_CPUS_PER_TASK": "1"}
        environment |= {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2"}
        subprocess.run(["bash", DEPLOY / "slurm-array.sh"], env=environment, check=True)
    assert sorted(pd.read_parquet(out / "images")["source"]) == sorted(map(str, photos.iterdir()))


@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")
def test_the_training_script_begins_a_run_and_resumes_it(commands: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    environment = commands | {"RECIPE": "lite0", "DATA": "synthetic", "RUN": str(run)}
    environment |= {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "7"}

    def called() -> str:
        done = subprocess.run(
            ["bash", DEPLOY / "slurm-train.sh"], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    begun = called()
    assert "--rdzv-endpoint node1:29500" in begun
    assert begun.endswith(f"-m mien.cli.app train --data synthetic --recipe lite0 --out {run}")
    run.mkdir()
    (run / "recipe.toml").write_text("")
    assert called().endswith(f"-m mien.cli.app train --resume {run}")
