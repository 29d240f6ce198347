"""A face of the TypeScript package, as JSON, beside `Face.to_dict()` of the same pixels."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien import Analyzer
from mien.errors import UsageError

PHOTO = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
SCRIPT = """
import { readFileSync } from "node:fs";
import { Analyzer } from "./dist/node.js";

const { options, images } = JSON.parse(readFileSync(process.argv[1], "utf8"));
const analyzer = await Analyzer.create(options);
const faces = [];
for (const { file, width, height } of images) {
  faces.push(...(await analyzer.analyze({ width, height, data: new Uint8Array(readFileSync(file)) })));
}
const crops = [{ width: 2, height: 2, data: new Uint8Array(12) }];
const refused = await analyzer.analyzeCrops(crops).then(() => null, ({ name }) => name);
await analyzer.dispose();
console.log(JSON.stringify({ faces, refused }));
"""


def images() -> list[NDArray[np.uint8]]:
    """A photo, its mirror image, and tilted: the first two squares of the face mesh differ there."""
    photo = Image.open(PHOTO).convert("RGB")
    tilted = photo.rotate(30, Image.Resampling.BICUBIC)
    return [np.asarray(photo), np.ascontiguousarray(np.asarray(photo)[:, ::-1]), np.asarray(tilted)]


def in_node(package: Path, folder: Path, **options: Any) -> dict[str, Any]:
    entries = []
    for i, image in enumerate(images()):
        (folder / f"{i}.rgb").write_bytes(image.tobytes())
        entries.append({"file": str(folder / f"{i}.rgb"), "width": image.shape[1], "height": image.shape[0]})
    (folder / "list.json").write_text(json.dumps({"options": options, "images": entries}))
    command = ["node", "--input-type=module", "-e", SCRIPT, str(folder / "list.json")]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("movements", [False, True])
def test_a_face_has_python_s_names_and_values(web_package: Path, tmp_path: Path, movements: bool) -> None:
    analyzer = Analyzer("mien-tiny", movements=movements, threads=1)
    expected = [face for image in images() for face in analyzer.analyze(image)]
    given = in_node(web_package, tmp_path, model="mien-tiny", movements=movements)
    assert given["refused"] == (UsageError.__name__ if movements else None)
    assert len(given["faces"]) == len(expected) == 3
    for face, found in zip(expected, given["faces"], strict=True):
        plain = face.to_dict()
        assert set(found) == {*plain, "set", "margin", "votes"}
        assert set(found["set"]) == set(face.set())
        assert found["margin"] == pytest.approx(face.margin, abs=2e-2)
        assert found["votes"] == pytest.approx(face.votes, abs=2e-2)
        for name in ("top", "uncertain", "warnings"):
            assert found[name] == plain[name]
        assert found["box"] == pytest.approx(plain["box"], abs=0.5)
        assert np.asarray(found["keypoints"]) == pytest.approx(np.asarray(plain["keypoints"]), abs=0.5)
        assert found["quality"] == pytest.approx(plain["quality"], abs=0.2)
        assert list(found["emotions"]) == list(plain["emotions"])
        assert found["emotions"] == pytest.approx(plain["emotions"], abs=2e-2)
        if movements:
            assert list(found["movements"]) == list(plain["movements"])
            for name, value in plain["movements"].items():
                within = 0.2 if name.startswith(("head", "gaze_yaw", "gaze_pitch")) else 5e-3
                assert found["movements"][name] == pytest.approx(value, abs=within), name
