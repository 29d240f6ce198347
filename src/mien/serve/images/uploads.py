"""The pictures in a request's body, raw or as a form with files; held in memory, never on disk."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from mien.serve.errors import Problem
from mien.serve.settings import MB, Limits

_FORM = "multipart/form-data"
_RAW = ("image/", "application/octet-stream")
_LONGEST_NAME = 200


class Upload(io.BytesIO):
    """Encoded bytes of a picture; `name` is what messages and results call it."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """The pictures of a request, at least one, named as the client named them or ``picture-1`` and so on.

    Raises:
        Problem: 413 for too many bytes or pictures, 415 for another content type, 422 for a broken form or
            one without files.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with aclosing(limited(request, limits.body_bytes)) as stream:
        if kind == _FORM:
            uploads = await _from_form(request, stream, limits)
        elif kind.startswith(_RAW):
            uploads = [Upload(b"".join([chunk async for chunk in stream]), "picture-1")]
        else:
            raise Problem(
                415,
                "content_type",
                f"The content type {kind[:100]!r} is not read here. Send a picture's bytes as image/jpeg "
                f"(or image/png, ...), or several as files of a {_FORM}. Addresses are never fetched.",
            )
    return uploads


async def limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """Yields the body as it comes.

    Raises:
        Problem: 413 as soon as the body announces, or turns out to hold, more than `most` bytes.
    """
    announced = request.headers.get("content-length", "")
    too_large = Problem(
        413, "body_too_large", f"The body is larger than the {most / MB:g} MB allowed. Send less at a time."
    )
    if announced.isdigit() and int(announced) > most:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise too_large
        if chunk:
            yield chunk


async def _from_form(request: Request, stream: AsyncGenerator[bytes, None], limits: Limits) -> list[Upload]:
    parser = MultiPartParser(request.headers, stream, max_files=limits.pictures, max_fields=limits.pictures)
    parser.spool_max_size = limits.body_bytes + 1  # beyond its size the parser would write to disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise Problem(
                413, "too_many_pictures", f"More than the {limits.pictures} pictures allowed in one request."
            ) from None
        raise Problem(422, "broken_form", f"The form cannot be read: {error.message}") from error
    uploads: list[Upload] = []
    try:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                name = (value.filename or "")[-_LONGEST_NAME:] or f"picture-{len(uploads) + 1}"
                uploads.append(Upload(await value.read(), name))
    finally:
        await form.close()
    if not uploads:
        raise Problem(
            422,
            "no_picture",
            "The form has no file. Each picture is a file of the form; text is not fetched.",
        )
    return uploads
