"""The page on a port of this machine: files only; the browser does all the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from mien.errors import UsageError
from mien.serve.static_page.site import POLICY, SiteOptions, site_files

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
_HOSTS = ("127.0.0.1", "localhost")
_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A newer mien on the same port must not mix with what the browser kept.
    "Cache-Control": "no-store",
}


def make_local_server(options: SiteOptions, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page's files that only this machine can reach; port 0 chooses a free one.

    Raises:
        UsageError: the port is taken or not allowed.
        NotBuilt, UnknownModel, CardError, ModelError: as `site_files`.
    """
    handler = _handler(site_files(options))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {port}: {error.strerror or error}. "
            "Choose another --port, or 0 for a free one."
        ) from error


def run_local(options: SiteOptions, port: int, on_listening: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM, which raise KeyboardInterrupt; gives its address first.

    Raises:
        UsageError, NotBuilt, UnknownModel, CardError, ModelError: as `make_local_server`.
    """
    with make_local_server(options, port) as server:
        on_listening(f"http://127.0.0.1:{server.server_port}")
        server.serve_forever()


def _handler(files: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Gives a file by its exact path; anything else is not found."""

        protocol_version = "HTTP/1.1"
        server_version, sys_version = "mien", ""
        timeout = 30

        def do_GET(self) -> None:
            self._reply(send_body=True)

        def do_HEAD(self) -> None:
            self._reply(send_body=False)

        def _reply(self, *, send_body: bool) -> None:
            name = urlsplit(self.path).path.removeprefix("/") or "index.html"
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            # A page of another site that gives its own name this machine's address gets nothing.
            body = files.get(name) if host in _HOSTS else None
            status = HTTPStatus.OK if body is not None else HTTPStatus.NOT_FOUND
            self.send_response(status)
            for header, value in _HEADERS.items():
                self.send_header(header, value)
            kind = _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
            self.send_header("Content-Type", kind if body is not None else "text/plain; charset=utf-8")
            content = body if body is not None else b"There is no such file.\n"
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if send_body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    return Handler
