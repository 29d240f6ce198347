"""Access control: the allowed host names, the sites whose pages may use the server, and the API key.

Every page in a browser can send requests to a server on 127.0.0.1 of the same machine. A page of another
site must not use it (its requests have an ``Origin`` header, or ``Sec-Fetch-Site: cross-site``), and must not
become "the same site" by a host name of its own for 127.0.0.1 (``Host`` then contains this name).
Source: Fetch Metadata Request Headers, W3C; "DNS rebinding", Jackson et al. 2007.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from contextlib import suppress
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from mien.serve.errors import ServiceError
from mien.serve.settings import Settings

# A page's WebSocket cannot send headers of its own: it sends the key as a subprotocol.
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


class AccessControl:
    """ASGI middleware: refuses requests that are not allowed, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                _add_headers(MutableHeaders(scope=message), scope["path"], self._settings.notice)
            await send(message)

        error = self._refusal(scope, headers)
        if error is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "http":
            await error.response()(scope, receive, send_with_headers)
        else:
            await WebSocket(scope, receive, send_with_headers).send_denial_response(error.response())

    def _refusal(self, scope: Scope, headers: Headers) -> ServiceError | None:
        """Why a request is refused, or None."""
        return (
            self._check_host(headers)
            or self._check_origin(scope, headers)
            or self._check_key(scope["path"], headers)
        )

    def _check_host(self, headers: Headers) -> ServiceError | None:
        """Refuses unknown host names. A key makes them harmless, since other sites do not have it."""
        settings = self._settings
        name = host_name(headers.get("host", ""))
        allowed = (*_LOCAL_NAMES, *(host.lower() for host in settings.allow_hosts), settings.host.lower())
        if name in allowed or (not settings.local and (settings.api_key is not None or _is_address(name))):
            return None
        return ServiceError(
            403,
            "unknown_host",
            f"The host name {name[:100]!r} is not allowed. Start the server with --allow-host to allow it.",
        )

    def _check_origin(self, scope: Scope, headers: Headers) -> ServiceError | None:
        """Refuses pages of other sites. Programs send no Origin; links to the page are allowed everywhere."""
        origin = headers.get("origin")
        if origin is None:
            other_site = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            if not other_site or headers.get("sec-fetch-mode") == "navigate":
                return None
            origin = "another site"
        elif origin in self._settings.allow_origins or _same_site(origin, scope, headers):
            return None
        return ServiceError(
            403,
            "cross_site_request",
            f"Pages of {origin[:100]!r} are not allowed. Start the server with --allow-origin to allow them.",
        )

    def _check_key(self, path: str, headers: Headers) -> ServiceError | None:
        """Refuses requests to the API and the metrics without the key."""
        key = self._settings.api_key
        if key is None or not (path.startswith("/v1") or path == "/metrics"):
            return None
        sent = _sent_keys(headers)
        if any(hmac.compare_digest(one, key.encode()) for one in sent):
            return None
        message = "The API key is wrong." if sent else "An API key is required."
        return ServiceError(401, "api_key_required", f"{message} Send it as `Authorization: Bearer KEY`.")


def host_name(host: str) -> str:
    """The name in a Host header, in lower case, without port and brackets."""
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
    """Whether an origin is this server under the client's name for it; a proxy may have removed TLS."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    secure = scope["scheme"] in ("https", "wss")
    schemes = ("https",) if secure else ("http", "https")
    return parts.scheme in schemes and parts.netloc.lower() == headers.get("host", "").lower() != ""


def _sent_keys(headers: Headers) -> list[bytes]:
    """The keys in a request: in `Authorization`, `X-API-Key`, or the subprotocols of a WebSocket."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    sent = [value.strip()] if scheme.lower() == "bearer" else []
    sent += headers.getlist("x-api-key")
    keys = [key.encode("latin-1", "replace") for key in sent]
    for name in headers.get("sec-websocket-protocol", "").split(","):
        encoded = name.strip().removeprefix(KEY_SUBPROTOCOL)
        if encoded != name.strip():
            with suppress(binascii.Error, ValueError):  # not a key
                keys.append(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    return keys


def _add_headers(headers: MutableHeaders, path: str, notice: str | None) -> None:
    for name, value in _HEADERS.items():
        headers[name] = value
    if path.startswith("/v1"):
        headers["Cache-Control"] = "no-store"
        if notice is not None:
            headers["Mien-Notice"] = quote(notice, safe=" !\"#$&'()*+,-./:;<=>?@[]^_`{|}~")  # UTF-8 as %XX
