"""A folder of small photos: faces of one photo in several sizes, an image without faces, and broken files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

PHOTO = Path(__file__).parent.parent.parent / "examples" / "astronaut.jpg"
FACES, BROKEN = 8, 2


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
