"""Photos and data sets go through one reader: the same formats, the same transparency, no other reader."""

from __future__ import annotations

import ast
import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.sources import load
from mien.errors import FormatError, ImageError
from mien.images.decode import read_image
from mien.images.gray import gray_face, read_gray

SOURCES = Path(__file__).parents[2] / "src" / "mien"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\n0 0 48 48 rectfill\nshowpage\n"


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def test_data_sets_and_photos_lay_transparency_on_the_same_white() -> None:
    """Data sets laid it on black: of this face a model learned a mean of 32.0 and was then shown 223.2."""
    pixels = np.empty((48, 48, 4), np.uint8)
    pixels[..., :3] = np.random.default_rng(7).integers(0, 256, (48, 48, 1))
    pixels[..., 3] = 64
    data = encoded(Image.fromarray(pixels))
    gray, alpha = pixels[..., 0].astype(float), 64 / 255
    expected = gray * alpha + 255 * (1 - alpha)
    for face in (gray_face(data, 48), read_gray(data), read_image(data).pixels[..., 0]):
        assert np.abs(face - expected).max() <= 1
        assert face.mean() == pytest.approx(223.2, abs=0.5)


def test_an_eps_file_with_another_suffix_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow hands EPS to Ghostscript: two files in a downloaded data set ran a program."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    for name in ("happy", "sad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(EPS)
    with Image.open(tmp_path / "happy" / "a.png") as image:
        assert image.format == "EPS"  # what Pillow takes it for if no list of formats is given
    with pytest.raises(FormatError, match="cannot be read as an image"):
        load(tmp_path)
    for reader in (read_image, lambda data: gray_face(data, 48)):
        with pytest.raises(ImageError, match="cannot be read as an image"):
            reader(EPS)


def opens_images(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    nodes = ast.walk(ast.parse(text)) if "PIL" in text or "imread" in text else ()
    names = {ast.unparse(node.func).removeprefix("PIL.") for node in nodes if isinstance(node, ast.Call)}
    return bool(names & {"Image.open", "ImageFile.Parser", "plt.imread", "matplotlib.image.imread"})


def test_only_the_package_images_opens_images() -> None:
    opening = {path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.py") if opens_images(path)}
    assert opening == {"images/decode.py"}
