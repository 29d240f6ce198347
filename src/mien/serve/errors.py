"""Errors as responses: a status, a code for programs, and a message for people."""

from __future__ import annotations

import errno
import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mien.errors import ImageError, ImageTooLarge, MienError, MissingExtra, UsageError

log = logging.getLogger("mien.serve")

# The statuses of mien's errors, the most specific first; the others are errors of the server.
_STATUSES: tuple[tuple[type[MienError], int, str], ...] = (
    (ImageTooLarge, 413, "image_too_large"),
    (ImageError, 422, "unreadable"),
    (UsageError, 422, "invalid_argument"),
    (MissingExtra, 501, "missing_package"),
)
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
# Nobody receives it; the metrics count it. Source: nginx.
CLIENT_CLOSED_REQUEST = 499
_MEANINGS = {
    401: "The API key is missing or wrong",
    403: "Sent by a page of another site, or to a host name that is not allowed",
    404: "Not found, or no longer available",
    408: "The request did not arrive in time",
    409: "Not ready yet",
    413: "Larger than allowed",
    415: "Unsupported content type",
    422: "The content or an argument is invalid",
    429: "Too many open requests of this client; try again after Retry-After seconds",
    501: "A required package is not installed on the server",
    507: "The disk of the server is full",
    503: "The server is busy; try again after Retry-After seconds",
}


class ErrorResponse(BaseModel):
    """Every response with a status of 400 or more."""

    code: str = Field(description="For programs; stable.", examples=["body_too_large"])
    message: str = Field(description="For people: what was wrong, the value received, and the remedy.")


class ServiceError(Exception):
    """A request that is refused or failed.

    Attributes:
        status: HTTP status of the response.
        code: for programs.
        message: what was wrong, the value received, and the remedy.
        retry_after_s: seconds until another attempt can succeed; None if it cannot.
    """

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """The HTTP response."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"code": self.code, "message": self.message}, self.status, headers)


def to_service_error(error: Exception) -> ServiceError:
    """What clients get for an error; details of unexpected errors are only logged."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestValidationError):
        return ServiceError(422, "invalid_argument", _describe(error))
    if isinstance(error, ClientDisconnect):
        return ServiceError(CLIENT_CLOSED_REQUEST, "client_closed_request", "The client left.")
    if isinstance(error, HTTPException):
        code = _HTTP_CODES.get(error.status_code, "http_error")
        return ServiceError(error.status_code, code, f"{error.detail}.")
    if _is_full_disk(error) or _is_full_disk(error.__cause__):
        return ServiceError(507, "disk_full", "The disk of the server is full. Its operator must free space.")
    for kind, status, code in _STATUSES:
        if isinstance(error, kind):
            return ServiceError(status, code, str(error))
    log.error("a request failed", exc_info=error)
    return ServiceError(500, "internal_error", "The server failed; its log contains the cause.")


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The entries of these statuses in the OpenAPI document."""
    return {status: {"model": ErrorResponse, "description": _MEANINGS[status]} for status in statuses}


def install_error_handlers(app: FastAPI) -> None:
    """Give all errors of an app the same form."""

    async def handle(_: Request, error: Exception) -> JSONResponse:
        response = to_service_error(error).response()
        if isinstance(error, HTTPException):
            response.headers.update(error.headers or {})
        return response

    kinds = (ServiceError, MienError, RequestValidationError, ClientDisconnect, HTTPException, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, handle)


def _describe(error: RequestValidationError) -> str:
    """The name, the problem and the value of each invalid argument."""
    parts = []
    for invalid in error.errors():
        name = ".".join(str(part) for part in invalid["loc"][1:]) or str(invalid["loc"][0])
        parts.append(f"{name}: {invalid['msg']} (got {invalid.get('input')!r:.80})")
    return "; ".join(parts) + "."


def _is_full_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
