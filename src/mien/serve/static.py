"""The page's files, read once and served from memory under their own paths."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markupsafe import escape

_NOTICE = b"<!-- notice -->"
# Not from the system's table: some map .js to text/plain, which browsers refuse to run.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page with its content type and ETag."""

    body: bytes
    content_type: str
    etag: str


def page_files(notice: str | None = None) -> dict[str, StaticFile]:
    """Path below ``/`` to file; the page itself has the path ``""`` and shows the notice."""
    page = collect(files("mien.serve") / "page")
    index = page.pop("index.html")
    shown = "" if notice is None else f'<p class="notice" role="note">{escape(notice)}</p>'
    body = index.body.replace(_NOTICE, shown.encode())
    page[""] = StaticFile(body, index.content_type, _etag(body))
    return page


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def page_routes(notice: str | None) -> APIRouter:
    """One route per file, so that no request contains a path on disk; the notice stands on the page."""
    return file_routes(page_files(notice))


def file_routes(page: Mapping[str, StaticFile]) -> APIRouter:
    """One route per file."""
    router = APIRouter(include_in_schema=False)
    for path, file in page.items():
        router.add_api_route(f"/{path}", _handler(file), methods=["GET", "HEAD"])
    return router


def collect(folder: Traversable) -> dict[str, StaticFile]:
    """The files in a folder and below it, by their paths in it."""
    return dict(_collect(folder, ""))


def _collect(folder: Traversable, prefix: str) -> Iterator[tuple[str, StaticFile]]:
    for entry in folder.iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            yield from _collect(entry, f"{prefix}{entry.name}/")
        elif suffix in _TYPES:
            body = entry.read_bytes()
            yield prefix + entry.name, StaticFile(body, _TYPES[suffix], _etag(body))


def _handler(file: StaticFile) -> Callable[[Request], Awaitable[Response]]:
    async def handler(request: Request) -> Response:
        # Checked at each load, so that the page of a newer mien never mixes with a browser's cache.
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=None, headers={**headers, "Content-Type": file.content_type})

    return handler
