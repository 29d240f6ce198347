"""The routes about the server itself: model and limits, health, metrics."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from mien.serve.errors import ServiceError, error_responses
from mien.serve.metrics import CONTENT_TYPE
from mien.serve.schemas import ServerInfo, ServerStatus
from mien.serve.service import Service


def about_routes(service: Service) -> APIRouter:
    """`/v1/about`."""
    router = APIRouter(tags=["server"])

    @router.get("/v1/about", summary="The model and the limits", responses=error_responses(401, 403))
    async def about() -> ServerInfo:
        """What a client needs to know before its first request."""
        return service.about()

    return router


def status_routes(service: Service) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`."""
    router = APIRouter(tags=["server"])

    @router.get("/healthz", summary="Whether the server runs")
    async def healthz() -> ServerStatus:
        """Always 200 while the process runs."""
        return ServerStatus(status="alive")

    @router.get("/readyz", summary="Whether the server is ready for requests", responses=error_responses(503))
    async def readyz() -> ServerStatus:
        """503 while the models are loading, while no more images may wait, and before the server stops."""
        if service.stopping:
            raise ServiceError(503, "stopping", "The server is about to stop.")
        if not service.ready:
            raise ServiceError(503, "warming_up", "The models are loading.", retry_after_s=1)
        if service.workers.waiting >= service.settings.limits.waiting:
            raise ServiceError(503, "busy", "No more images may wait.", retry_after_s=1)
        return ServerStatus(status="ready")

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **error_responses(401)},
    )
    async def metrics() -> Response:
        """Counts and durations of requests, images, faces and frames."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return router
