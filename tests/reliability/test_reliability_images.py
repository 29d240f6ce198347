"""Images that are damaged, expensive or named by an attacker: an answer or an error of mien, in bounds."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from mien.errors import ImageError, ImageTooLarge, MienError
from mien.images import cost, decode
from mien.images.av1 import sizes_of_frames
from mien.images.cost import jpeg_cost
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


def progressive(width: int, height: int, scans: int, scan_bytes: int = 0) -> bytes:
    """A progressive JPEG whose last scan is there so many times, each with so many bytes more."""
    file = io.BytesIO()
    Image.new("L", (width, height), 99).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:].removesuffix(b"\xff\xd9") + b"\x55" * scan_bytes
    return data[:last] + scan * scans + b"\xff\xd9"


def jpeg2000(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG2000")
    return file.getvalue()


def large(form: str, width: int, height: int, **options: object) -> bytes:
    """A large image of one colour."""
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, form, **options)
    return file.getvalue()


EXPENSIVE: dict[str, Callable[[], bytes]] = {
    "scans": lambda: progressive(6000, 6000, 300),
    "many bytes in scans": lambda: progressive(600, 600, 10, scan_bytes=10_000_000),
    "JPEG 2000": lambda: jpeg2000(4100, 4100),
    "JPEG 2000 of many bytes": lambda: jpeg2000(300, 300) + bytes(18_000_000),
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


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
def test_a_format_whose_decoder_is_slow_has_a_limit_of_its_own(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _needs(form)
    monkeypatch.setitem(cost._LIMITS, form, (1_000_000, 20, 20))
    assert read_image(large(form, 1000, 1000)).pixels.shape == (1000, 1000, 3)
    with pytest.raises(ImageTooLarge, match="up to 1 megapixels"):
        read_image(large(form, 1001, 1000))


def test_what_follows_a_jpeg_does_not_count_as_its_scans() -> None:
    """A progressive photo with a video of 20 MB behind it, as phones write it, was refused for its scans."""
    file = io.BytesIO()
    Image.new("L", (4000, 3000), 99).save(file, "JPEG", progressive=True)
    video = np.random.default_rng(0).integers(0, 256, 20_000_000, np.uint8).tobytes()
    assert video.count(b"\xff\xda") > 250
    assert read_image(file.getvalue() + video).pixels.shape == (3000, 4000, 3)


def test_the_cost_of_a_jpeg_is_the_same_from_a_file_and_from_bytes(tmp_path: Path) -> None:
    data = progressive(64, 48, 12)
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    with path.open("rb") as file:
        counted = jpeg_cost(file, 3072)
    assert counted == jpeg_cost(io.BytesIO(data), 3072)
    assert counted[0] == data.count(b"\xff\xda")


def tiled_tiff(size: int, tile: int) -> bytes:
    """A gray TIFF of one tile, which may be larger than the image."""
    packed = zlib.compress(bytes(tile * tile))
    tags = {
        256: size,
        257: size,
        258: 8,
        259: 8,
        262: 1,
        277: 1,
        322: tile,
        323: tile,
        324: 0,
        325: len(packed),
    }
    tags[324] = 14 + 12 * len(tags)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + packed


def avif_of_one_cell(size: int, cell: int) -> bytes:
    """An AVIF that is cut out of a larger cell."""

    def box(name: bytes, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return struct.pack(">I", 8 + len(content)) + name + content

    def full(name: bytes, version: int, *parts: bytes) -> bytes:
        return box(name, struct.pack(">I", version << 24), *parts)

    def found(name: bytes) -> bytes:
        at = whole.index(name) - 4
        return whole[at : at + int.from_bytes(whole[at : at + 4], "big")]

    whole = large("AVIF", cell, cell, speed=10)
    coded, grid = found(b"mdat")[8:], struct.pack(">BBBBHH", 0, 0, 0, 0, size, size)
    kinds = (b"av01", b"grid")
    infos = [full(b"infe", 2, struct.pack(">HH", i + 1, 0), kind, b"\0") for i, kind in enumerate(kinds)]
    sizes = [full(b"ispe", 0, struct.pack(">II", each, each)) for each in (cell, size)]
    properties = box(b"ipco", sizes[0], found(b"av1C"), found(b"pixi"), sizes[1])
    of_items = struct.pack(">IHB3BHB2B", 2, 1, 3, 1, 0x82, 3, 2, 2, 4, 3)

    def head(at: int) -> bytes:
        items = ((1, at, len(coded)), (2, at + len(coded), len(grid)))
        places = b"".join(struct.pack(">HHHII", number, 0, 1, *place) for number, *place in items)
        return full(
            b"meta",
            0,
            full(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            full(b"pitm", 0, struct.pack(">H", 2)),
            full(b"iloc", 0, struct.pack(">BBH", 0x44, 0, 2), places),
            full(b"iinf", 0, struct.pack(">H", 2), *infos),
            full(b"iref", 0, box(b"dimg", struct.pack(">HHH", 2, 1, 1))),
            box(b"iprp", properties, full(b"ipma", 0, of_items)),
        )

    start = found(b"ftyp")
    return start + head(len(start) + len(head(0)) + 8) + box(b"mdat", coded, grid)


def avif_that_announces_less(size: int, frame: int) -> bytes:
    """An AVIF whose header says less than what its frame has."""
    whole = large("AVIF", frame, frame, speed=10)
    return whole.replace(struct.pack(">II", frame, frame), struct.pack(">II", size, size))


@pytest.mark.parametrize("make", [tiled_tiff, avif_of_one_cell, avif_that_announces_less])
def test_a_small_image_cut_out_of_a_huge_tile_is_refused(
    make: Callable[[int, int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TIFF of 1 MB with 100 x 100 pixels took 870 MB, an AVIF of 4 kB with 64 x 64 pixels 410 MB."""
    if make is not tiled_tiff:
        _needs("AVIF")
    assert read_image(make(64, 256), max_pixels=256 * 256).pixels.shape == (64, 64, 3)
    data = make(64, 2000)
    monkeypatch.setattr(decode, "_loaded", None)
    with pytest.raises(ImageTooLarge, match="a part of 2,000 x 2,000 pixels"):
        read_image(data, max_pixels=1_000_000)


def test_the_size_of_a_frame_is_read_from_both_kinds_of_sequence_header() -> None:
    _needs("AVIF")
    frames = [Image.new("RGB", (70, 30 + i), (i, 9, 9)).resize((70, 30)) for i in range(2)]
    file = io.BytesIO()
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:])  # not the reduced header of a still
    assert (70, 30) in sizes_of_frames(file.getvalue())
    assert sizes_of_frames(large("AVIF", 64, 48)) == [(64, 48)]
    # By hand: timing, a decoder model, and two operating points of high level with all their fields.
    point = "0" * 12 + "01000" + "0" + "1" + "0" * 11 + "1" + "0000"
    fields = "000" + "0" + "0" + "1" + "0" * 64 + "1" + "00101" + "1" + "00100" + "0" * 42 + "1" + "00001"
    fields += 2 * point + f"{11:04b}{10:04b}{4000 - 1:012b}{2000 - 1:011b}"
    header = int(fields.ljust(-len(fields) % 8 + len(fields), "0"), 2).to_bytes(-(-len(fields) // 8), "big")
    item = bytes([0x12, 0, 0x0A, len(header)]) + header
    place = struct.pack(">IBBHHHHII", 0, 0x44, 0, 1, 1, 0, 1, 30, len(item))
    assert sizes_of_frames((b"iloc" + place).ljust(30, b"\0") + item) == [(4000, 2000)]
    for end in range(30, 30 + len(item) - 3):
        assert sizes_of_frames(((b"iloc" + place).ljust(30, b"\0") + item)[:end]) == []


_PEAK = """
import sys
from pathlib import Path
from mien.images import cost, decode
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
