"""The images or the clip in the body of a request, sent as bytes or as the files of a form."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mien.serve.errors import ServiceError
from mien.serve.settings import MB, Limits

_FORM = "multipart/form-data"
_MAX_FIELDS = 10  # of a form, beside its files
_MAX_NAME = 200

# How containers start, as (offset, bytes): MP4 and MOV; Matroska and WebM, Ogg, MPEG, WMV, FLV; AVI.
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_STARTS = (b"\x1a\x45\xdf\xa3", b"OggS", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75", b"FLV")
_CONTAINERS = (
    *((4, box) for box in _MP4_BOXES),
    *((0, start) for start in _STARTS),
    (8, b"AVI "),
)
_HEADER_BYTES = 400  # enough to recognize a container


class UploadedImage(io.BytesIO):
    """The encoded bytes of an image, as `data` too; `name` is used in messages and results."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.data = data
        self.name = name


async def read_images(request: Request, limits: Limits) -> list[UploadedImage]:
    """The images of a request, at least one, held in memory, never on disk.

    Their names are those of the form's files, or ``image-1``, ``image-2`` and so on.

    Raises:
        ServiceError: 413 for too many bytes or images, 415 for another content type, 422 for an invalid form.
    """
    is_form = _is_form(request, "image")
    async with aclosing(_limited_body(request, limits.body_bytes)) as body:
        if not is_form:
            return [UploadedImage(b"".join([chunk async for chunk in body]), "image-1")]
        # From `spool_bytes` on, the parser would write a file to disk.
        async with _form_files(request, body, limits.images, spool_bytes=limits.body_bytes + 1) as files:
            return [
                UploadedImage(await file.read(), (file.filename or f"image-{number}")[-_MAX_NAME:])
                for number, file in enumerate(files, start=1)
            ]


async def save_clip(request: Request, path: Path, limits: Limits) -> str:
    """Writes the clip of a request to a file and returns the client's name for it.

    Raises:
        ServiceError: 413 for too many bytes, 415 for another content type, 422 for an invalid form or a file
            that is not a video container.
    """
    is_form, name = _is_form(request, "video"), "clip"
    async with aclosing(_limited_body(request, limits.video_bytes)) as body:
        if is_form:
            async with _form_files(request, body, 1) as (file,):
                await asyncio.to_thread(_copy, file.file, path)
                name = (file.filename or name)[-_MAX_NAME:]
        else:
            with path.open("wb") as target:
                async for chunk in body:
                    await asyncio.to_thread(target.write, chunk)
    with path.open("rb") as saved:
        if not is_container(saved.read(_HEADER_BYTES)):
            raise ServiceError(
                422,
                "unsupported_video",
                f"{name} is not a video container. Supported: MP4, MOV, WebM, MKV, AVI, TS.",
            )
    return name


def is_container(start: bytes) -> bool:
    """Whether a file that starts with these bytes is a video container.

    Playlists are not: they contain paths and URLs, which FFmpeg would open.
    """
    sync = b"\x47"  # each packet of a transport stream starts with it
    if any(start[i : i + 1] == start[i + size : i + size + 1] == sync for i, size in ((0, 188), (4, 192))):
        return True
    return any(start[i : i + len(magic)] == magic for i, magic in _CONTAINERS)


def upload_schema(kind: str, field: str, *, several: bool) -> dict[str, Any]:
    """The request body in the OpenAPI document: `kind` is image or video, `field` the form's field."""
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary} if several else binary
    form = {"type": "object", "properties": {field: files}, "required": [field]}
    return {
        "requestBody": {
            "required": True,
            "description": f"The bytes of a file, or a form with {'one or more files' if several else 'it'}.",
            "content": {
                f"{kind}/*": {"schema": binary},
                "application/octet-stream": {"schema": binary},
                _FORM: {"schema": form},
            },
        }
    }


def _is_form(request: Request, kind: str) -> bool:
    """Whether the body is a form; else it is the bytes of a file.

    Raises:
        ServiceError: 415 for another content type.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != _FORM and not content_type.startswith((f"{kind}/", "application/octet-stream")):
        raise ServiceError(
            415,
            "unsupported_content_type",
            f"The content type {content_type[:100]!r} is not supported. Send the bytes of a file as {kind}/* "
            f"or application/octet-stream, or files in a {_FORM} form. URLs are never fetched.",
        )
    return content_type == _FORM


async def _limited_body(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yields the body in chunks as they arrive.

    Raises:
        ServiceError: 413 as soon as the header or the received data exceeds the limit.
    """
    too_large = ServiceError(
        413, "body_too_large", f"The body exceeds the limit of {max_bytes / MB:g} MB. Send less per request."
    )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise too_large
        if chunk:
            yield chunk


@asynccontextmanager
async def _form_files(
    request: Request, body: AsyncGenerator[bytes, None], max_files: int, *, spool_bytes: int | None = None
) -> AsyncIterator[list[UploadFile]]:
    """A with block with the files of a form, at least one.

    Raises:
        ServiceError: 413 for too many files, 422 for an invalid form or one without files.
    """
    parser = MultiPartParser(request.headers, body, max_files=max_files, max_fields=_MAX_FIELDS + max_files)
    if spool_bytes is not None:
        parser.spool_max_size = spool_bytes
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise ServiceError(
                413,
                "too_many_files",
                f"The form contains more than {max_files} files, the limit per request.",
            ) from None
        raise ServiceError(422, "invalid_form", f"The form cannot be parsed: {error.message}") from error
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not files:
            raise ServiceError(422, "no_file", "The form contains no file. Text and URLs are not read.")
        yield files
    finally:
        await form.close()


def _copy(source: BinaryIO, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, MB)
