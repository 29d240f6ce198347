"""What is answered when something is wrong: a status, a code for programs, and a sentence for people."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from mien.errors import ImageError, ImageTooLarge, MienError, MissingExtra, UsageError

log = logging.getLogger("mien.serve")

# Statuses of errors of mien, the most specific first; everything else in the tree is our own fault.
_STATUS: tuple[tuple[type[MienError], int, str], ...] = (
    (ImageTooLarge, 413, "picture_too_large"),
    (ImageError, 422, "unreadable"),
    (UsageError, 422, "unusable_argument"),
    (MissingExtra, 501, "not_installed"),
)
_CODES = {404: "not_found", 405: "method_not_allowed"}


class ProblemAnswer(BaseModel):
    """Every answer with a status of 400 or more."""

    code: str = Field(description="For programs; does not change with the wording.", examples=["too_large"])
    message: str = Field(description="For people: what was wrong, the value received, what to do next.")


class Problem(Exception):
    """A request that is not carried out, and why.

    Attributes:
        status: of the HTTP answer.
        code: a word for programs.
        message: what was wrong, the value received, and what to do next.
        retry_after_s: when it is worth trying again; None where it is not.
    """

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """The HTTP answer."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"code": self.code, "message": self.message}, self.status, headers)


def as_problem(error: MienError) -> Problem:
    """The problem that an error of mien is to a client."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return Problem(status, code, str(error))
    log.error("a request failed", exc_info=error)
    return Problem(500, "failed", "The server could not do this; its log says why.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The entries of an OpenAPI document for problems of these statuses."""
    return {status: {"model": ProblemAnswer, "description": _MEANINGS[status]} for status in statuses}


_MEANINGS = {
    401: "No API key, or a wrong one",
    403: "Asked by a page of another site, or under a name that is not this server's",
    404: "There is no such thing, or no longer",
    408: "The request did not arrive in time",
    409: "Not ready yet",
    413: "Larger than allowed",
    415: "A content type that is not read here",
    422: "What was sent cannot be used",
    429: "This client has too much open already; try again after Retry-After seconds",
    501: "A package that this needs is not installed on the server",
    503: "Too much to do at the moment; try again after Retry-After seconds",
}


def install(app: FastAPI) -> None:
    """Make every error leave the app in the one form."""

    async def problem(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, Problem):
            return error.response()
        if isinstance(error, MienError):
            return as_problem(error).response()
        if isinstance(error, RequestValidationError):
            return Problem(422, "unusable_argument", _describe(error)).response()
        if isinstance(error, HTTPException):
            code = _CODES.get(error.status_code, "refused")
            answer = Problem(error.status_code, code, f"{error.detail}.").response()
            answer.headers.update(error.headers or {})
            return answer
        log.error("a request failed", exc_info=error)
        return Problem(500, "failed", "The server could not do this; its log says why.").response()

    for kind in (Problem, MienError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, problem)


def _describe(error: RequestValidationError) -> str:
    """Each argument that cannot be used, by its name."""
    parts = []
    for wrong in error.errors():
        name = ".".join(str(part) for part in wrong["loc"][1:]) or str(wrong["loc"][0])
        parts.append(f"{name}: {wrong['msg']} (got {wrong.get('input')!r:.80})")
    return "; ".join(parts) + "."
