"""A folder of small photos: faces of one photo in several sizes, an image without faces, and broken files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

PHOTO = Path(__file__).parent.parent.parent / "examples" / "astronaut.jpg"
FACES = 8


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten files: eight faces in two folders, and two that are no images."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    with Image.open(PHOTO) as whole:
        face = whole.convert("RGB").crop((130, 0, 330, 260))
    for number in range(FACES):
        place = folder / "more" if number % 2 else folder
        face.resize((150 + 5 * number, 200)).save(place / f"{number}.jpg", quality=90)
    (folder / "broken.jpg").write_bytes(b"nothing")
    (folder / "more" / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New processes end, as by a decoder that crashes, when they read a file that begins with "nothing"."""
    place = tmp_path / "site" / "sitecustomize.py"
    place.parent.mkdir()
    place.write_text(
        "import hashlib, os\n"
        "real = hashlib.sha256\n"
        "def sha256(data=b'', **options):\n"
        "    if bytes(data[:7]) == b'nothing': os.kill(os.getpid(), 11)\n"
        "    return real(data, **options)\n"
        "hashlib.sha256 = sha256\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(place.parent), os.environ.get("PYTHONPATH", "")]))
