"""A clip in a request's body, written to a file as it comes, and whether it is a clip at all."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mien.serve.errors import Problem
from mien.serve.images.uploads import limited
from mien.serve.settings import Limits

_START = 400  # bytes that tell the container


async def write_clip(request: Request, path: Path, limits: Limits) -> str:
    """Writes the clip of a request to a file and gives the name that the client has for it.

    Raises:
        Problem: 413 for too many bytes, 415 for another content type, 422 for what is no clip.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with aclosing(limited(request, limits.video_bytes)) as stream:
        if kind == "multipart/form-data":
            name = await _from_form(request, stream, path)
        elif kind.startswith("video/") or kind == "application/octet-stream":
            with path.open("wb") as file:
                async for chunk in stream:
                    await asyncio.to_thread(file.write, chunk)
            name = "clip"
        else:
            raise Problem(
                415,
                "content_type",
                f"The content type {kind[:100]!r} is not read here. Send a clip's bytes as video/mp4 (or "
                "another), or as the file of a multipart/form-data. Addresses are never fetched.",
            )
    with path.open("rb") as file:
        if not is_clip(file.read(_START)):
            raise Problem(
                422,
                "no_clip",
                "This is no clip in a container that is read here: MP4, MOV, WebM, MKV, AVI, TS.",
            )
    return name


def is_clip(start: bytes) -> bool:
    """Whether a file that begins so is a container of pictures that stand in it.

    Playlists are not: they name other files and addresses, which FFmpeg would open.
    """
    return (
        start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
        or start[:4] in (b"\x1a\x45\xdf\xa3", b"OggS", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75")
        or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")
        or start[:3] == b"FLV"
        or (start[:1] == b"\x47" and start[188:189] == b"\x47")
        or (start[4:5] == b"\x47" and start[196:197] == b"\x47")
    )


async def _from_form(request: Request, stream: AsyncGenerator[bytes, None], path: Path) -> str:
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=10)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Problem(422, "broken_form", f"The form cannot be read: {error.message}") from error
    try:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                await asyncio.to_thread(_copy, value.file, path)
                return (value.filename or "clip")[-200:]
    finally:
        await form.close()
    raise Problem(
        422, "no_clip", "The form has no file. The clip is a file of the form; text is not fetched."
    )


def _copy(source: BinaryIO, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, 1024 * 1024)
