"""Packages are reproducible and contain what they should; workflows and the container are pinned."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def build(folder: Path) -> list[Path]:
    """The wheel and the sdist."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build(tmp_path_factory.mktemp("first"))


def names(package: Path) -> list[str]:
    if package.suffix == ".whl":
        return zipfile.ZipFile(package).namelist()
    with tarfile.open(package) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def test_two_builds_are_identical(packages: list[Path], tmp_path: Path) -> None:
    again = build(tmp_path)
    assert [path.name for path in again] == [path.name for path in packages]
    assert [path.suffix for path in packages] == [".whl", ".gz"]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in packages]


def test_packages_contain_no_tests_and_no_faces(packages: list[Path]) -> None:
    for package in packages:
        for name in names(package):
            assert not name.startswith(("tests/", "examples/", "docs/")), name
            if name.endswith("video/tracking/mean_texture.npy"):
                continue  # a mean of many faces, which nobody can recognize
            if "serve/static_page/icon-" in name:
                continue
            assert not name.endswith((".jpg", ".jpeg", ".png", ".webp", ".npz", ".npy", ".csv", ".mp4")), name


def test_the_wheel_contains_the_weights_their_cards_and_their_provenance(packages: list[Path]) -> None:
    (wheel,) = (path for path in packages if path.suffix == ".whl")
    inside = set(names(wheel))
    folder = ROOT / "src" / "mien" / "models"
    expected = [
        folder / "provenance.json",
        *(folder / "weights").glob("*.onnx"),
        *(folder / "weights").glob("*.json"),
        folder / "weights" / "SHA256SUMS",
        folder / "weights" / "LICENSE.txt",
    ]
    assert {path.relative_to(ROOT / "src").as_posix() for path in expected} <= inside
    assert any(name.endswith("licenses/NOTICE") for name in inside)


def test_the_wheel_contains_the_package_for_browsers_where_it_is_built(packages: list[Path]) -> None:
    built = sorted((ROOT / "src" / "mien" / "serve" / "static_page" / "mien-js").glob("*"))
    if not built:
        pytest.skip("not built: `make web`")
    for package in packages:
        inside = [name.removeprefix("src/") for name in names(package)]
        assert {path.relative_to(ROOT / "src").as_posix() for path in built} <= set(inside)


def test_the_index_will_accept_the_packages(packages: list[Path]) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, packages)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_workflows_have_least_permissions_and_pinned_actions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow: dict[str, Any] = yaml.safe_load(text)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
    assert "secrets." not in text
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_workflows_and_the_citation_have_the_fields_of_their_schemas(tmp_path: Path) -> None:
    """The schemas come with the package that checks, so that nothing is downloaded."""
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("timeout-minutes:", "timeout:"))
    for schema, paths, code in (
        ("vendor.github-workflows", WORKFLOWS, 0),
        ("custom.github-workflows-require-timeout", WORKFLOWS, 0),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"], 0),
        ("vendor.github-workflows", [wrong], 1),
        ("custom.github-workflows-require-timeout", [wrong], 1),
    ):
        options = ["--builtin-schema", schema, "--default-filetype", "yaml", *map(str, paths)]
        done = CliRunner().invoke(check_jsonschema.main, options)
        assert done.exit_code == code, done.output


def test_only_publishing_may_write() -> None:
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    writing = {
        name for name, job in release["jobs"].items() if "write" in (job.get("permissions") or {}).values()
    }
    assert writing == {"publish", "publish-npm"}


def test_the_package_for_browsers_is_published_with_its_provenance_and_nothing_else() -> None:
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    job = release["jobs"]["publish-npm"]
    assert job["permissions"] == {"id-token": "write"}
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ["npm publish --provenance --access public ./npm/*.tgz"]


def test_the_container_installs_only_pinned_and_hashed_packages() -> None:
    lines = (
        (ROOT / "requirements" / "container.txt")
        .read_text(encoding="utf-8")
        .replace("\\\n", " ")
        .splitlines()
    )
    pinned = {}
    for line in (line for line in map(str.strip, lines) if line and not line.startswith("#")):
        match = re.match(r"([\w.-]+)==(\S+)( ;[^-]+)?\s+--hash=sha256:[0-9a-f]{64}", line)
        assert match, line
        pinned[match[1]] = match[2]
    tested = dict(
        re.match(r"([\w.-]+)==(\S+)", line).groups()  # type: ignore[union-attr]
        for line in (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if re.match(r"[\w.-]+==", line)
    )
    assert {"fastapi", "uvicorn", "onnxruntime", "pillow", "av"} <= set(pinned)
    assert {name: version for name, version in pinned.items() if tested.get(name, version) != version} == {}
    container = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert "--require-hashes -r requirements/container.txt" in container
    assert re.search(r"^USER (?!root)", container, re.MULTILINE)
