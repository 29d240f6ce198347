"""Time and memory of reading images that are large, costly to decode, or both.

    python benchmarks/expensive_images.py [NAME ...]

Each image is made from code and read in a process of its own, which reports the seconds of a core and the
megabytes that reading added. The goal: each is read or refused within 2 s and 400 MB.
"""

from __future__ import annotations

import argparse
import io
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def photo(width: int, height: int, channels: int = 3) -> Image.Image:
    """A smooth image with some noise, as cheap to make as to compress."""
    tile = RNG.integers(0, 40, (256, 256, channels), np.uint8)
    rows = np.linspace(0, 200, height, dtype=np.uint8)[:, None, None]
    pixels = np.tile(tile, (height // 256 + 1, width // 256 + 1, 1))[:height, :width] + rows
    return Image.fromarray(pixels.squeeze())


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    """The bytes of an image."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG with that many scans."""
    data = saved(photo(side, side), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:].removesuffix(b"\xff\xd9")
    return data[:last] + scan * max(1, count - data.count(b"\xff\xda")) + b"\xff\xd9"


def png_16(side: int, channels: int = 4) -> bytes:
    """A PNG with 16 bits per channel, which Pillow cannot write."""
    row = RNG.integers(0, 65536, side * channels, np.uint16).astype(">u2").tobytes()
    packer = zlib.compressobj(1)
    lines = [b"\2" + row, *[b"\2" + bytes(len(row))] * (side - 1)]  # 2: the difference to the row above
    packed = b"".join([*map(packer.compress, lines), packer.flush()])
    kind = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", side, side, 16, kind, 0, 0, 0)

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def animated(form: str, side: int, frames: int) -> bytes:
    """An animation whose first frame alone is shown."""
    images = [photo(side, side) for _ in range(frames)]
    return saved(images[0], form, save_all=True, append_images=images[1:])


IMAGES: dict[str, Callable[[], bytes]] = {
    "PNG, 7000 x 7000, RGBA, 16 bits": lambda: png_16(7000),
    "PNG, 10000 x 10000, gray, 16 bits": lambda: png_16(10_000, 1),
    "PNG, 7000 x 7000, RGBA, 8 bits": lambda: saved(photo(7000, 7000, 4), "PNG", compress_level=1),
    "PNG, 10000 x 10000, RGB": lambda: saved(photo(10_000, 10_000), "PNG", compress_level=1),
    "JPEG, 10000 x 10000": lambda: saved(photo(10_000, 10_000), "JPEG"),
    "JPEG, 7000 x 7000": lambda: saved(photo(7000, 7000), "JPEG"),
    "JPEG, 6000 x 6000, progressive, 10 scans": lambda: scans(6000, 10),
    "JPEG, 6000 x 6000, progressive, 60 scans": lambda: scans(6000, 60),
    "JPEG, 6000 x 6000, progressive, 300 scans": lambda: scans(6000, 300),
    "JPEG, 10000 x 10000, progressive, 10 scans": lambda: scans(10_000, 10),
    "JPEG 2000, 9800 x 9800, one colour": lambda: saved(Image.new("RGB", (9800, 9800)), "JPEG2000"),
    "JPEG 2000, 4000 x 4000": lambda: saved(photo(4000, 4000), "JPEG2000"),
    "Netpbm, 20 MB as text": lambda: b"P3 2000 1000 255\n" + b"7 7 7 " * 2_000_000 + b"7 7 7 " * 1_400_000,
    "WebP, 10000 x 10000": lambda: saved(photo(10_000, 10_000), "WEBP", method=0),
    "WebP, 7000 x 7000, lossless": lambda: saved(photo(7000, 7000, 4), "WEBP", lossless=True, method=0),
    "WebP, 1000 x 1000, 100 frames": lambda: animated("WEBP", 1000, 100),
    "AVIF, 10000 x 10000": lambda: saved(photo(10_000, 10_000), "AVIF", speed=10),
    "AVIF, 10000 x 10000, one colour": lambda: saved(Image.new("RGB", (10_000, 10_000)), "AVIF", speed=10),
    "AVIF, 7000 x 7000": lambda: saved(photo(7000, 7000), "AVIF", speed=10),
    "AVIF, 4000 x 4000": lambda: saved(photo(4000, 4000), "AVIF", speed=10),
    "AVIF, 1000 x 1000, 100 frames": lambda: animated("AVIF", 1000, 100),
    "TIFF, 10000 x 10000, LZW": lambda: saved(photo(10_000, 10_000), "TIFF", compression="tiff_lzw"),
    "TIFF, 10000 x 10000, deflate": lambda: saved(photo(10_000, 10_000), "TIFF", compression="tiff_deflate"),
    "TIFF, 10000 x 10000, 1 bit, fax": lambda: saved(
        Image.new("1", (10_000, 10_000)), "TIFF", compression="group4"
    ),
    "TIFF, 10000 x 10000, CMYK": lambda: saved(
        Image.new("CMYK", (10_000, 10_000)), "TIFF", compression="tiff_lzw"
    ),
    "TIFF, 1000 x 1000, 100 pages": lambda: animated("TIFF", 1000, 100),
    "GIF, 10000 x 10000": lambda: saved(photo(10_000, 10_000, 1), "GIF"),
    "BMP, 10000 x 10000": lambda: saved(photo(10_000, 10_000), "BMP"),
}


def peak_mb() -> float:
    """Megabytes of this process at most; Linux. `ru_maxrss` begins with the peak of the parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def read(path: Path) -> None:
    """Read an image and print what came of it, the seconds of a core and the megabytes."""
    from mien.errors import ImageError
    from mien.images.decode import read_image

    read_image(saved(Image.new("RGB", (8, 8)), "PNG"))
    before, start, wall = peak_mb(), time.process_time(), time.perf_counter()
    try:
        result = "read" if read_image(path).pixels.size else ""
    except ImageError as error:
        result = f"refused: {type(error).__name__}"
    seconds = time.process_time() - start
    print(f"{result} | {seconds:.2f} | {time.perf_counter() - wall:.2f} | {peak_mb() - before:.0f}")


def rows(names: list[str]) -> Iterator[str]:
    """One row of the table per image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        for name, make in IMAGES.items():
            if names and not any(each in name for each in names):
                continue
            path.write_bytes(make())
            command = [sys.executable, __file__, "--read", str(path)]
            said = subprocess.run(command, capture_output=True, text=True)
            row = said.stdout.strip() or f"failed: {said.stderr.strip()[-200:]}"
            yield f"| {name} | {path.stat().st_size / 1e6:.3f} | {row} |"


def main() -> None:
    """Print one row per image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="parts of names; default: all")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read)
        return
    print("| image | MB of the file | result | s of cores | s of time | MB of memory |")
    print("|---|---|---|---|---|---|")
    for row in rows(options.names):
        print(row, flush=True)


if __name__ == "__main__":
    main()
