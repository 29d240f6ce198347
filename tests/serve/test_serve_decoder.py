"""The decoder in a process of its own: the same pixels, the same errors, and limits of time and memory."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from mien.errors import ImageError, ImageTooLarge
from mien.images.decode import decoding_cost, read_image
from mien.serve.decoder import DecoderProcess


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    made = DecoderProcess(max_pixels=1_000_000, max_s=60)
    yield made
    made.stop()


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_it_reads_the_same_pixels_as_this_process(decoder: DecoderProcess, photo: bytes) -> None:
    image = decoder.read(photo, "photo.jpg")
    assert image.source == "photo.jpg"
    assert np.array_equal(image.pixels, read_image(photo).pixels)
    assert not image.pixels.flags.writeable


def test_errors_are_those_of_this_process_and_name_the_image(decoder: DecoderProcess, photo: bytes) -> None:
    for data, kind in (
        (b"text", ImageError),
        (photo[:9000], ImageError),
        (encoded(Image.new("L", (1001, 1000)), "PNG"), ImageTooLarge),
    ):
        with pytest.raises(kind) as expected:
            read_image(data, max_pixels=1_000_000)
        with pytest.raises(kind) as raised:
            decoder.read(data, "größe.jpg")
        assert str(raised.value) == str(expected.value).replace("<bytes>", "größe.jpg")
    assert decoder.read(photo, "photo.jpg").width == 512  # the process goes on


def test_an_image_that_takes_too_long_is_refused_and_the_next_one_is_read(photo: bytes) -> None:
    decoder = DecoderProcess(max_pixels=50_000_000, max_s=1e-6)
    large = encoded(Image.new("RGB", (5000, 5000)), "PNG")
    with pytest.raises(ImageTooLarge, match=r"large\.png could not be decoded within 1e-06 s"):
        decoder.read(large, "large.png")
    decoder._max_s = 60
    assert decoder.read(photo, "photo.jpg").width == 512
    decoder.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_an_image_that_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.serve.decoder._BYTES_PER_PIXEL", 0)
    decoder = DecoderProcess(max_pixels=50_000_000, max_s=60)
    with pytest.raises(ImageTooLarge, match=r"large\.png needs more"):
        decoder.read(encoded(Image.new("RGB", (6000, 5000)), "PNG"), "large.png")
    assert decoder.read(encoded(Image.new("RGB", (600, 500)), "PNG"), "small.png").width == 600
    decoder.stop()


def test_an_image_that_ends_its_decoder_is_refused(photo: bytes) -> None:
    decoder = DecoderProcess(max_pixels=50_000_000, max_s=60)
    decoder.read(photo, "photo.jpg")
    assert decoder._process is not None
    decoder._process.kill()
    decoder._process.wait()
    with pytest.raises(ImageError, match=r"photo\.jpg cannot be read: it ended its decoder"):
        decoder.read(photo, "photo.jpg")
    assert decoder.read(photo, "photo.jpg").width == 512
    decoder.stop()


def test_the_cost_counts_pixels_and_scans(photo: bytes) -> None:
    image = Image.open(io.BytesIO(photo))
    pixels = image.width * image.height
    assert decoding_cost(photo) == pixels
    assert decoding_cost(encoded(image, "PNG")) == decoding_cost(encoded(image, "WEBP")) == pixels
    progressive = encoded(image, "JPEG", progressive=True)
    assert decoding_cost(progressive) == pytest.approx(
        pixels * (1 + 0.1 * (progressive.count(b"\xff\xda") - 1)) + 3 * (len(progressive) - 2)
    )
    assert progressive.count(b"\xff\xda") >= 6
    for form in ("JPEG2000", "TIFF", "PPM"):
        assert decoding_cost(encoded(image, form)) == float("inf")
    assert (
        decoding_cost(b"no") == decoding_cost(b"text") == decoding_cost(b"\x89PNG\r\n\x1a\n") == 0
    )  # reading these fails at once
