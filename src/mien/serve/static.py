"""The page's files, read once and handed out from memory under their own paths."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response

# Written down here: what a system's own table says of .js has been text/plain, which browsers refuse to run.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page and its fingerprint."""

    body: bytes
    kind: str
    etag: str


def page_files() -> dict[str, StaticFile]:
    """Path below ``/`` to file; the page itself is at ``""``."""
    found: dict[str, StaticFile] = {}
    _collect(files("mien.serve") / "page", "", found)
    found[""] = found.pop("index.html")
    return found


def page_routes() -> APIRouter:
    """One route a file, so that no request names a path on disk."""
    router = APIRouter(include_in_schema=False)
    for path, file in page_files().items():
        router.add_api_route(f"/{path}", _handler(file), methods=["GET", "HEAD"])
    return router


def _collect(folder: Traversable, prefix: str, found: dict[str, StaticFile]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", found)
            continue
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in _TYPES:
            body = entry.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            found[prefix + entry.name] = StaticFile(body, _TYPES[suffix], etag)


def _handler(file: StaticFile):  # type: ignore[no-untyped-def]
    async def handler(request: Request) -> Response:
        # Asked for each time, so that a newer mien's page is never half from a browser's cache.
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=None, headers={**headers, "Content-Type": file.kind})

    return handler
