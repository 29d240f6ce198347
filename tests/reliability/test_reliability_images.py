"""Images that are damaged, expensive or named by an attacker: an answer or an error of mien, in bounds."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from mien.errors import ImageError, ImageTooLarge, MienError
from mien.images import decode
from mien.images.decode import read_image
from mien.images.find import find_images

# How many mutated files of each format; `make soak` raises it.
ROUNDS = int(os.environ.get("MIEN_SOAK", "40"))
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")


def _photo(form: str) -> bytes:
    """A small image with detail, in a format."""
    rows, columns = np.mgrid[0:48, 0:64]
    pixels = np.stack([rows * 5, columns * 4, (rows * columns) % 251], axis=2).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The file with some bytes changed, and sometimes cut, doubled in part or with a part left out."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 40))):
        out[chance.randrange(len(out))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    begin, end = sorted(chance.randrange(len(out)) for _ in range(2))
    kind = chance.randrange(6)
    if kind == 0:
        return bytes(out[: max(1, end)])
    if kind == 1:
        return bytes(out[:end] + out[begin:])
    return bytes(out[:begin] + out[end:]) if kind == 2 else bytes(out)


def _needs(form: str) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_a_mutated_image_is_read_or_refused_with_an_error_of_mien(form: str) -> None:
    _needs(form)
    data, chance, refused = _photo(form), random.Random(form), 0
    for number in range(ROUNDS):
        broken = mutated(data, chance)
        try:
            read_image(broken, max_pixels=1_000_000)
        except ImageError:
            refused += 1
        except BaseException as error:
            raise AssertionError(f"{form}, mutation {number}: {error!r}") from error
    assert refused  # the mutations do damage files


def test_whatever_a_decoder_raises_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Exception):
        pass

    def fail(*_: object) -> None:
        raise Other("of somebody else's")

    monkeypatch.setattr(decode, "_pixels", fail)
    with pytest.raises(ImageError, match="somebody else"):
        read_image(_photo("PNG"))


def test_a_full_memory_is_an_image_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode, "_pixels", fail)
    with pytest.raises(ImageTooLarge, match="memory"):
        read_image(_photo("PNG"))


def progressive(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times."""
    file = io.BytesIO()
    Image.new("L", (width, height), 99).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:].removesuffix(b"\xff\xd9")
    return data[:last] + scan * scans + b"\xff\xd9"


def jpeg2000(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG2000")
    return file.getvalue()


EXPENSIVE: dict[str, Callable[[], bytes]] = {
    "scans": lambda: progressive(6000, 6000, 300),
    "JPEG 2000": lambda: jpeg2000(4100, 4100),
    "PPM as text": lambda: b"P3 2000 1000 255\n" + b"7 7 7 " * 2_000_000,
    "PPM with another maximum": lambda: b"P6 2000 1000 254\n" + bytes(6_000_000),
}


@pytest.mark.parametrize("kind", EXPENSIVE)
def test_an_expensive_image_is_refused_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("decoded")

    data = EXPENSIVE[kind]()
    monkeypatch.setattr(decode, "_loaded", decoded)
    with pytest.raises(ImageTooLarge, match="Save it as"):
        read_image(data)


@pytest.mark.parametrize(
    "data", [progressive(600, 600, 300), jpeg2000(300, 300), b"P3 30 10 255\n" + b"7 7 7 " * 300]
)
def test_small_images_of_the_same_kinds_are_read(data: bytes) -> None:
    assert read_image(data).pixels.shape[2] == 3


_PEAK = """
import sys
from pathlib import Path
from mien.images import decode
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
decode._STRIP_PIXELS = int(sys.argv[1]) or decode._STRIP_PIXELS
data = sys.stdin.buffer.read()
before = peak()
decode.read_image(data)
print(peak() - before)
"""


def _peak_mb(data: bytes, strip_pixels: int = 0) -> float:
    """Megabytes that reading the image adds to a process of its own."""
    command = [sys.executable, "-c", _PEAK, str(strip_pixels)]
    return float(subprocess.run(command, input=data, capture_output=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_large_image_with_transparency_needs_little_more_than_its_pixels() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (3500, 3500), (9, 9, 9, 100)).save(file, "PNG", compress_level=1)
    # Pillow's own 49 MB, 37 MB of RGB, and strips; in one strip the copies add up.
    assert _peak_mb(file.getvalue()) < 160 < _peak_mb(file.getvalue(), strip_pixels=10**9)


def test_strips_are_joined_to_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    image = Image.fromarray(chance.integers(0, 256, (37, 21, 4), dtype=np.uint8))
    whole = read_image(image).pixels
    monkeypatch.setattr(decode, "_STRIP_PIXELS", 100)
    assert np.array_equal(read_image(image).pixels, whole)


def test_a_glob_over_a_loop_of_links_gives_each_file_once(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "x.png").write_bytes(_photo("PNG"))
    (tmp_path / "y.png").write_bytes(_photo("PNG"))
    (deep / "up").symlink_to(tmp_path)
    (tmp_path / "also").symlink_to(tmp_path)
    assert [path.name for path in find_images([f"{tmp_path}/**/*.png"])] == ["x.png", "y.png"]
    assert [path.name for path in find_images([f"{tmp_path}/a/**/*.png"])] == ["y.png", "x.png"]
    assert [path.name for path in find_images([f"{tmp_path}/*/b/*.png"])] == ["x.png"]


def test_a_glob_goes_down_a_link_to_another_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.png").write_bytes(_photo("PNG"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "real")
    assert [path.name for path in find_images([f"{tmp_path}/photos/**/*.png"])] == ["x.png"]


def test_a_hostile_name_is_escaped_and_shortened_in_messages(tmp_path: Path) -> None:
    with pytest.raises(MienError) as raised:
        read_image(str(tmp_path / "a\x1b[31m\n.jpg"))
    assert "\\x1b[31m\\x0a.jpg does not exist" in str(raised.value)
    with pytest.raises(MienError) as raised:
        read_image("iVBORw0KGgo" * 40_000)
    assert len(str(raised.value)) < 600
