"""The routes of pictures, and those that tell how the server is."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from mien.inference.sinks import ImageFailure, ImageResult
from mien.serve.errors import Problem, documented
from mien.serve.images.batching import Outcome
from mien.serve.images.uploads import read_uploads
from mien.serve.metrics import CONTENT_TYPE
from mien.serve.schemas import AboutAnswer, AliveAnswer, AnalyzeAnswer, ReadyAnswer
from mien.serve.service import Service

# FastAPI reads annotations at the module's level.
Labels = Annotated[
    str | None,
    Query(description="`fer2013`: seven emotions; `ferplus`: eight, as ten people would vote."),
]
_PICTURES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A picture's bytes, or a form with one or several pictures as files.",
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "pictures": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                    "required": ["pictures"],
                }
            },
        },
    }
}


def picture_routes(service: Service) -> APIRouter:
    """`/v1/analyze` and `/v1/about`."""
    router = APIRouter()

    @router.post(
        "/v1/analyze",
        tags=["pictures"],
        summary="Read the faces in pictures",
        response_model=AnalyzeAnswer,
        responses=documented(401, 403, 408, 413, 415, 422, 429, 503),
        openapi_extra=_PICTURES,
    )
    async def analyze(
        request: Request,
        labels: Labels = None,
    ) -> Response:
        """Takes the bytes of pictures, never a path or an address. Nothing is stored.

        A picture without faces gives an empty list. Of several, those that cannot be read are listed under
        `errors`; if none can, the answer is 422 (413 if all are too large).
        """
        wanted = service.check_labels(labels)
        with service.one_more(client_of(request)):
            outcomes = await _read(service, request, wanted)
        return _answer(service, outcomes, wanted)

    @router.get(
        "/v1/about",
        tags=["server"],
        summary="The model and the limits",
        response_model=AboutAnswer,
        responses=documented(401, 403),
    )
    async def about() -> Response:
        """What a client should know before it asks."""
        return JSONResponse(service.about())

    return router


def state_routes(service: Service) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`."""
    router = APIRouter(tags=["server"])

    @router.get("/healthz", summary="Whether the server runs", response_model=AliveAnswer)
    async def healthz() -> Response:
        """Answers as long as the process does."""
        return JSONResponse({"status": "alive"})

    @router.get(
        "/readyz",
        summary="Whether it can take requests",
        response_model=ReadyAnswer,
        responses=documented(503),
    )
    async def readyz() -> Response:
        """503 while the models warm up, and while no more pictures may wait."""
        if not service.ready:
            raise Problem(503, "warming_up", "The models are being loaded.", retry_after_s=1)
        if service.readers.waiting >= service.settings.limits.waiting:
            raise Problem(503, "busy", "No more pictures may wait.", retry_after_s=1)
        return JSONResponse({"status": "ready"})

    @router.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(401)},
    )
    async def metrics() -> Response:
        """Numbers of requests, pictures, faces and frames, and how long they took."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return router


def client_of(request: Request) -> str:
    """Who asks, as far as a limit a client goes: the address."""
    return request.client.host if request.client else "unknown"


async def _read(service: Service, request: Request, labels: str) -> list[Outcome]:
    limits = service.settings.limits
    arrived = False
    try:
        async with asyncio.timeout(limits.request_s):
            uploads = await read_uploads(request, limits)
            arrived = True
            return await service.readers.read(uploads, labels)
    except TimeoutError:
        if not arrived:
            raise Problem(
                408, "too_slow", f"The request did not arrive within {limits.request_s:g} s."
            ) from None
        raise Problem(
            503,
            "no_answer_in_time",
            f"The pictures were not read within {limits.request_s:g} s; nothing more is done about them.",
            retry_after_s=limits.request_s / 2,
        ) from None


def _answer(service: Service, outcomes: list[Outcome], labels: str) -> Response:
    results = [o.said for o in outcomes if isinstance(o.said, ImageResult)]
    failures = [o.said for o in outcomes if isinstance(o.said, ImageFailure)]
    service.metrics.pictures.inc(len(results))
    service.metrics.unreadable.inc(len(failures))
    service.metrics.faces.inc(sum(len(result.faces) for result in results))
    if not results:
        messages = " ".join(failure.error for failure in failures)
        if all(outcome.too_large for outcome in outcomes):
            raise Problem(413, "picture_too_large", messages)
        raise Problem(422, "unreadable", messages)
    body = {
        "model": service.analyzers[labels].classifier.name,
        "results": [result.to_dict() for result in results],
        "errors": [failure.to_dict() for failure in failures],
    }
    return Response(json.dumps(body), media_type="application/json")
