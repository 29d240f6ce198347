"""Pictures of every kind, made on the spot: read right, or refused with a reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mien.errors import ImageError, ImageTooLarge
from mien.images.decode import DecodedImage, from_array, from_pil, read_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """A smooth colour image (60, 80, 3) that every codec keeps well."""
    y, x = np.mgrid[0:60, 0:80]
    return np.stack([x * 3, y * 4, 255 - x * 2], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def corners(picture: DecodedImage) -> list[tuple[int, ...]]:
    """Colours at top left, top right, bottom left, bottom right."""
    pixels = picture.pixels
    return [tuple(int(v) for v in pixels[y, x]) for y in (1, -2) for x in (1, -2)]


def quadrants(size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Red, green over blue, white."""
    image = Image.new("RGB", size, WHITE)
    width, height = size[0] // 2, size[1] // 2
    image.paste(RED, (0, 0, width, height))
    image.paste(GREEN, (width, 0, 2 * width, height))
    image.paste(BLUE, (0, height, width, 2 * height))
    return image


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("PPM", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95}, 6),
        ("JPEG", {"quality": 95, "progressive": True}, 6),
        ("WEBP", {"quality": 95}, 12),
    ],
)
def test_common_formats_come_back_as_their_pixels(
    photo: NDArray[np.uint8], kind: str, options: dict[str, object], tolerance: int
) -> None:
    picture = read_image(encoded(Image.fromarray(photo), kind, **options))
    assert picture.pixels.shape == (60, 80, 3)
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - photo).max() <= tolerance


def test_path_text_bytes_and_stream_give_the_same_image(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    data = encoded(Image.fromarray(photo), "PNG")
    file.write_bytes(data)
    with file.open("rb") as stream:
        pictures = [
            read_image(file),
            read_image(str(file)),
            read_image(data),
            read_image(io.BytesIO(data)),
            read_image(stream),
        ]
    assert all((picture.pixels == photo).all() for picture in pictures)
    named = [str(file), str(file), "<bytes>", "<stream>", str(file)]
    assert [picture.source for picture in pictures] == named
    assert (pictures[0].width, pictures[0].height) == (80, 60)


class Pipe(io.RawIOBase):
    """A stream that cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        return self._rest.readinto(buffer)


class Named:
    """A path of another library."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_every_kind_of_source_gives_the_same_image(
    photo: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    data = encoded(Image.fromarray(photo), "PNG")
    (tmp_path / "photo.png").write_bytes(data)
    written = io.BytesIO()
    Image.fromarray(photo).save(written, "PNG")  # stands at its end, as after any writing
    decoded = read_image(data)
    for source in (
        "~/photo.png",
        Named(tmp_path / "photo.png"),
        bytearray(data),
        memoryview(data),
        written,
        Pipe(data),
        photo,
        Image.fromarray(photo),
        decoded,
    ):
        assert (read_image(source).pixels == photo).all(), type(source)
    assert read_image(decoded) is decoded
    assert repr(decoded) == "DecodedImage('<bytes>', 80 x 60)"


@pytest.mark.parametrize("dash", ["-", Path("-")])
def test_a_dash_is_standard_input(
    dash: str | Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.BufferedReader(Pipe(encoded(Image.fromarray(photo), "PNG")))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))
    image = read_image(dash)
    assert (image.pixels == photo).all()
    assert image.source == "<stdin>"


def test_a_file_that_is_open_as_text_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_text("text")
    with (tmp_path / "photo.txt").open() as file, pytest.raises(ImageError, match=r"open\(path, 'rb'\)"):
        read_image(file)  # type: ignore[arg-type]


def test_a_closed_file_is_refused_as_an_image(tmp_path: Path) -> None:
    with (tmp_path / "photo.png").open("wb") as file:
        pass
    with pytest.raises(ImageError, match=r"photo\.png cannot be read: .*closed"):
        read_image(file)


def test_reading_in_threads_leaves_the_filters_of_warnings_as_they_were(photo: NDArray[np.uint8]) -> None:
    data = encoded(Image.fromarray(photo), "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, [data] * 400))
    assert warnings.filters == before


def test_pixels_are_read_only_and_an_array_given_stays_writable(photo: NDArray[np.uint8]) -> None:
    picture = from_array(photo)
    with pytest.raises(ValueError, match="read-only"):
        picture.pixels[0, 0] = 0
    photo[0, 0] = 0


# What the camera stored for a scene whose corners are red, green, blue, white: the inverse of each
# orientation, written down from the EXIF standard's table of row 0 and column 0.
STORED = {
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [GREEN, WHITE, RED, BLUE],
    7: [WHITE, GREEN, BLUE, RED],
    8: [BLUE, RED, WHITE, GREEN],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    size = (40, 20) if orientation < 5 else (20, 40)
    stored = Image.new("RGB", size)
    half = (size[0] // 2, size[1] // 2)
    for index, colour in enumerate(STORED[orientation]):
        x, y = half[0] * (index % 2), half[1] * (index // 2)
        stored.paste(colour, (x, y, x + half[0], y + half[1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = read_image(encoded(stored, kind, exif=exif, **options))
    assert (picture.width, picture.height) == (40, 20)
    assert corners(picture) == [RED, GREEN, BLUE, WHITE]


def test_damaged_exif_leaves_the_image_as_stored() -> None:
    data = encoded(quadrants(), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(data).pixels.shape == (20, 40, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert corners(read_image(encoded(quadrants(), "PNG", exif=exif))) == [RED, GREEN, BLUE, WHITE]


CUTTABLE = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("PPM", {}),
]


@pytest.mark.parametrize(("kind", "options"), CUTTABLE)
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.995])
def test_a_cut_file_is_refused_and_never_silently_grey(
    kind: str, options: dict[str, object], share: float
) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind, **options)
    with pytest.raises(ImageError, match=r"cut short|cannot be read as an image"):
        read_image(data[: int(len(data) * share)])


def test_the_error_of_a_cut_file_names_how_much_is_missing(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(1, 255, (128, 160, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    file = tmp_path / "half.jpg"
    data = encoded(image, "JPEG")
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.jpg is cut short .* last \d+ of its 128 rows") as told:
        read_image(file)
    missing = int(str(told.value).split("the last ")[1].split()[0])
    assert 48 <= missing <= 96  # half of them, and the rows that the decoder still held back
    data = encoded(image, "WEBP", lossless=True)
    with pytest.raises(ImageError, match=f"1,000 of its {len(data):,} bytes are missing"):
        read_image(data[:-1000])
    data = encoded(image, "BMP")
    with pytest.raises(ImageError, match=f"5 of its {len(data):,} bytes are missing"):
        read_image(data[:-5])


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})],
)
def test_of_an_animation_the_first_frame_is_read(kind: str, options: dict[str, object]) -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in (RED, GREEN, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (read_image(data).pixels == RED).all()


def test_a_palette_becomes_its_colours() -> None:
    palette = quadrants().convert("P", palette=Image.Palette.ADAPTIVE)
    assert palette.mode == "P"
    for kind in ("PNG", "GIF"):
        assert corners(read_image(encoded(palette, kind))) == [RED, GREEN, BLUE, WHITE]


def test_a_transparent_palette_entry_becomes_white() -> None:
    palette = quadrants().convert("P", palette=Image.Palette.ADAPTIVE)
    red = palette.getpixel((1, 1))
    for kind in ("PNG", "GIF"):
        picture = read_image(encoded(palette, kind, transparency=red))
        assert corners(picture) == [WHITE, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_and_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256 * 4).round().astype(np.uint16).reshape(16, 64)
    picture = read_image(encoded(Image.fromarray(ramp), kind))
    expected = np.round(ramp / 257).astype(int)
    assert np.abs(picture.pixels[:, :, 0].astype(int) - expected).max() <= 1
    assert len(np.unique(picture.pixels)) == 256


def test_16_bit_colour_is_read(photo: NDArray[np.uint8]) -> None:
    deep = photo.astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 80, 60, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    assert (read_image(data).pixels == photo).all()


def test_gray_and_one_bit_become_rgb() -> None:
    gray = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (10, 1))
    for image in (Image.fromarray(gray), Image.fromarray(gray > 120)):
        pixels = read_image(encoded(image, "PNG")).pixels
        assert pixels.shape == (10, 50, 3)
        assert (pixels == np.asarray(image.convert("L"))[:, :, None]).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colours(kind: str) -> None:
    options = {"quality": 95} if kind == "JPEG" else {}
    picture = read_image(encoded(quadrants().convert("CMYK"), kind, **options))
    expected = np.asarray(quadrants()).astype(int)
    assert np.abs(picture.pixels.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_transparency_is_laid_on_white(mode: str, kind: str) -> None:
    image = Image.new(mode, (4, 1))
    black = (0,) * (len(mode) - 1)
    for x, alpha in enumerate((0, 85, 170, 255)):
        image.putpixel((x, 0), (*black, alpha))
    assert read_image(encoded(image, kind)).pixels[0, :, 0].tolist() == [255, 170, 85, 0]


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that announces any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


@pytest.mark.parametrize("size", [(10_001, 10_000), (13_000, 13_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_from_its_header(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageTooLarge, match=r"bomb|too large|announces"):
        read_image(bomb(*size))


def test_max_pixels_is_the_caller_s_choice(photo: NDArray[np.uint8]) -> None:
    data = encoded(Image.fromarray(photo), "PNG")
    assert read_image(data, max_pixels=4800).width == 80
    with pytest.raises(ImageTooLarge, match="80 x 60 pixels, more than the 4,799"):
        read_image(data, max_pixels=4799)


def test_what_is_no_image_is_refused_with_its_name_and_a_reason(tmp_path: Path) -> None:
    empty, text, heic = tmp_path / "empty.jpg", tmp_path / "notes.jpg", tmp_path / "phone.heic"
    empty.touch()
    text.write_text("not a picture at all, but long enough to look at")
    heic.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    for source, reason in [
        (tmp_path / "missing.jpg", r"missing\.jpg does not exist"),
        ("https://example.org/a.jpg", "looks like an address"),
        (tmp_path, "is a folder"),
        (empty, r"empty\.jpg is empty"),
        (text, r"notes\.jpg cannot be read .* begin with b'not a pi'"),
        (heic, "begins as a HEIC photo but is cut short"),
        (b"", "<bytes> is empty"),
    ]:
        with pytest.raises(ImageError, match=reason):
            read_image(source)


@pytest.mark.parametrize("suffix", ["heic", "heif"])
def test_heic_photos_are_read_where_pillow_heif_is_installed(
    photo: NDArray[np.uint8], tmp_path: Path, suffix: str
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / f"phone.{suffix}"
    pillow_heif.from_pillow(Image.fromarray(photo)).save(path, quality=100)
    read = read_image(path).pixels.astype(float)
    assert read.shape == photo.shape
    assert np.abs(read - photo).mean() < 3
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError, match="cut short or damaged"):
        read_image(path)


def test_without_pillow_heif_the_message_has_the_pip_command(tmp_path: Path) -> None:
    heic = tmp_path / "phone.heic"
    heic.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    code = (
        "import sys; sys.modules['pillow_heif'] = None; from mien.images.decode import read_image; "
        f"read_image({str(heic)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'mien[heif]'" in done.stderr


def test_eps_is_not_handed_to_other_programs() -> None:
    with pytest.raises(ImageError, match="cannot be read as an image"):
        read_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


def test_float_and_32_bit_files_are_refused_with_a_remedy() -> None:
    for image in (
        Image.fromarray(np.ones((4, 4), np.float32)),
        Image.fromarray(np.full((4, 4), 70_000, np.int32)),
    ):
        with pytest.raises(ImageError, match="save it with 8 or 16 bits"):
            read_image(encoded(image, "TIFF"))


def test_arrays_gray_rgb_and_rgba_become_images(photo: NDArray[np.uint8]) -> None:
    assert (from_array(photo).pixels == photo).all()
    gray = photo[:, :, 0]
    for array in (gray, gray[:, :, None]):
        assert (from_array(array).pixels == np.dstack([gray] * 3)).all()
    rgba = np.dstack([photo, np.full(gray.shape, 255, np.uint8)])
    assert (from_array(rgba).pixels == photo).all()
    rgba[:, :, 3] = 0
    assert (from_array(rgba).pixels == 255).all()
    assert (from_array(photo[::-1, ::2, ::-1]).pixels == photo[::-1, ::2, ::-1]).all()


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32.*\(array \* 255\)"),
        (np.zeros((4, 4), np.uint16), "uint16.*>> 8"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.zeros((4, 4), np.bool_), "bool"),
        (np.zeros((3, 40, 50), np.uint8), r"\(3, 40, 50\).*channels last"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\(2, 4, 4, 3\)"),
        (np.zeros(7, np.uint8), r"\(7,\)"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
    ],
)
def test_other_arrays_are_refused(array: NDArray[np.uint8], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        from_array(array)


def test_a_pillow_image_of_any_mode_is_taken(photo: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photo)
    for mode in ("RGB", "L", "1", "P", "CMYK", "YCbCr", "HSV", "RGBA", "LA", "I;16"):
        assert (
            from_pil(image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)).width == 80
        )
    with pytest.raises(ImageError, match="floating-point"):
        from_pil(image.convert("F"))


def test_a_pillow_image_is_turned_and_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    quadrants().save(file, exif=exif)
    with Image.open(file) as image:
        picture = from_pil(image)
    assert picture.source == str(file)
    assert (picture.width, picture.height) == (20, 40)


def test_a_pillow_image_whose_file_is_cut_is_refused() -> None:
    data = encoded(Image.effect_noise((200, 200), 90), "PNG")
    with (
        Image.open(io.BytesIO(data[: len(data) // 2])) as image,
        pytest.raises(ImageError, match="cut short"),
    ):
        from_pil(image)
