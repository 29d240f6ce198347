"""The route of images."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from mien.inference.sinks import ImageResult, ReadFailure
from mien.serve.batching import ImageOutcome
from mien.serve.errors import ServiceError, error_responses
from mien.serve.schemas import AnalyzeResponse
from mien.serve.service import LabelsParameter, MovementsParameter, Service, client_address
from mien.serve.uploads import read_images, upload_schema

T = TypeVar("T")


def image_routes(service: Service) -> APIRouter:
    """`/v1/analyze`."""
    router = APIRouter(tags=["images"])

    @router.post(
        "/v1/analyze",
        summary="Analyze the faces in images",
        response_model=AnalyzeResponse,
        responses=error_responses(401, 403, 408, 413, 415, 422, 429, 503),
        openapi_extra=upload_schema("image", "images", several=True),
    )
    async def analyze(
        request: Request, labels: LabelsParameter = None, movements: MovementsParameter = "off"
    ) -> Response:
        """Send the bytes of images, not paths or URLs. Nothing is stored.

        An image without faces has an empty list. If some of several images cannot be read, they are listed
        under `errors`; if none can be read, the status is 422 (413 if all are too large).
        """
        label_set = service.resolve_labels(labels)
        with service.client_slot(client_address(request)):
            outcomes = await _analyze(service, request, label_set, movements=movements == "on")
        return _response(service, outcomes, label_set)

    return router


async def _analyze(service: Service, request: Request, labels: str, *, movements: bool) -> list[ImageOutcome]:
    limits = service.settings.limits
    arrived = False
    try:
        async with asyncio.timeout(limits.request_s):
            uploads = await read_images(request, limits)
            arrived = True
            work = service.workers.analyze(uploads, labels, movements=movements)
            return await unless_disconnected(request, work)
    except TimeoutError:
        if not arrived:
            raise ServiceError(
                408, "request_timeout", f"The request did not arrive within {limits.request_s:g} s."
            ) from None
        raise ServiceError(
            503,
            "processing_timeout",
            f"The images were not analyzed within {limits.request_s:g} s; the request is cancelled.",
            retry_after_s=limits.request_s / 2,
        ) from None


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of work for a client, whose request has been read; it is cancelled when the client leaves.

    Raises:
        ClientDisconnect: the client left.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _response(service: Service, outcomes: list[ImageOutcome], labels: str) -> Response:
    results = [each.result for each in outcomes if isinstance(each.result, ImageResult)]
    failures = [each.result for each in outcomes if isinstance(each.result, ReadFailure)]
    service.metrics.images.inc(len(results))
    service.metrics.unreadable.inc(len(failures))
    service.metrics.faces.inc(sum(len(result.faces) for result in results))
    if not results:
        messages = " ".join(failure.error for failure in failures)
        if all(outcome.too_large for outcome in outcomes):
            raise ServiceError(413, "image_too_large", messages)
        raise ServiceError(422, "unreadable", messages)
    body = {
        "model": service.analyzers[labels].classifier.name,
        "results": [result.to_dict() for result in results],
        "errors": [failure.to_dict() for failure in failures],
    }
    # Not through the schema, which would check every number again.
    return Response(json.dumps(body), media_type="application/json")
