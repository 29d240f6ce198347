"""Who may ask: the names this server answers to, the pages that may use it, and the key.

A server on 127.0.0.1 can be reached by every page that its user's browser shows. A page of another site
must neither drive it (its requests carry an ``Origin``, or say ``Sec-Fetch-Site: cross-site``) nor become
"the same site" by pointing a name of its own at 127.0.0.1 (the ``Host`` is then that name).
Source: Fetch Metadata Request Headers, W3C; "DNS rebinding", Jackson et al. 2007.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from mien.serve.errors import Problem
from mien.serve.settings import Settings

# A page's WebSocket cannot send headers of its own: the key comes among the subprotocols it asks for.
SUBPROTOCOL = "mien.v1"
KEY_SUBPROTOCOL = "mien.key."

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: refuses who may not ask, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                _add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        problem = self._refusal(scope, headers)
        if problem is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "http":
            await problem.response()(scope, receive, send_with_headers)
        else:
            await WebSocket(scope, receive, send_with_headers).send_denial_response(problem.response())

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        """Why a request is refused, or None."""
        if (problem := self._wrong_host(headers)) or (problem := self._wrong_origin(scope, headers)):
            return problem
        guarded = scope["path"].startswith("/v1") or scope["path"] == "/metrics"
        if guarded and self._settings.api_key is not None and not self._has_key(headers):
            return Problem(
                401,
                "key_needed",
                "This server asks for an API key. Send it as `Authorization: Bearer KEY`.",
            )
        return None

    def _wrong_host(self, headers: Headers) -> Problem | None:
        """A name that is not this server's. With a key, a foreign name is of no use to anyone."""
        settings = self._settings
        name = host_name(headers.get("host", ""))
        known = (*_LOCAL_NAMES, *(host.lower() for host in settings.allow_hosts), settings.host.lower())
        if name in known or (not settings.local and (settings.api_key is not None or _is_address(name))):
            return None
        return Problem(
            403,
            "unknown_host",
            f"This server does not answer to the name {name[:100]!r}. "
            "Whoever runs it can allow it with --allow-host.",
        )

    def _wrong_origin(self, scope: Scope, headers: Headers) -> Problem | None:
        """A page of another site. Programs send no Origin; a link to the page may be anywhere."""
        origin = headers.get("origin")
        if origin is None:
            foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            if not foreign or headers.get("sec-fetch-mode") == "navigate":
                return None
            origin = "another site"
        elif origin in self._settings.allow_origins or _same_site(origin, scope, headers):
            return None
        return Problem(
            403,
            "foreign_page",
            f"A page of {origin[:100]!r} may not use this server. "
            "Whoever runs it can allow it with --allow-origin.",
        )

    def _has_key(self, headers: Headers) -> bool:
        key = (self._settings.api_key or "").encode()
        return any(hmac.compare_digest(shown, key) for shown in _shown_keys(headers))


def host_name(host: str) -> str:
    """The name in a Host header, lower case, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_site(origin: str, scope: Scope, headers: Headers) -> bool:
    """Whether an origin is this server as the client calls it; a proxy in front may have taken off TLS."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    secure = scope["scheme"] in ("https", "wss")
    schemes = ("https",) if secure else ("http", "https")
    return parts.scheme in schemes and parts.netloc.lower() == headers.get("host", "").lower() != ""


def _shown_keys(headers: Headers) -> list[bytes]:
    """The keys that a request shows: in `Authorization`, `X-API-Key`, or among a WebSocket's subprotocols."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    shown = [value.strip()] if scheme.lower() == "bearer" else []
    shown += headers.getlist("x-api-key")
    keys = [key.encode("latin-1", "replace") for key in shown]
    for name in headers.get("sec-websocket-protocol", "").split(","):
        coded = name.strip().removeprefix(KEY_SUBPROTOCOL)
        if coded != name.strip():
            try:
                keys.append(base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)))
            except (binascii.Error, ValueError):
                continue  # no key, then
    return keys


def _add_headers(headers: MutableHeaders, path: str) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    if path.startswith("/v1"):
        headers["Cache-Control"] = "no-store"
