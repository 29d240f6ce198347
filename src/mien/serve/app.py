"""The application: routes, guard, counters and errors put together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import mien
from mien.serve import errors as problems
from mien.serve.docs_page import documentation_routes
from mien.serve.images.routes import picture_routes, state_routes
from mien.serve.metrics import Metrics
from mien.serve.security import Guard
from mien.serve.service import Service
from mien.serve.settings import Settings
from mien.serve.static import page_routes
from mien.serve.stream import stream_routes
from mien.serve.video.routes import video_routes

_DESCRIPTION = (
    "Reads the apparent expression of faces: how a face looks, not what a person feels. Pictures are sent as "
    "bytes, are read in memory and are not stored. `/v1/stream` is a WebSocket and not listed here; it is "
    "described in the project's documentation."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application of a server with these settings; its models are loaded when this returns.

    Raises:
        UnknownModel, CardError, ModelError, UsageError: the model cannot be used.
    """
    settings = settings or Settings()
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.readers.start()
        service.jobs.start()
        warming = asyncio.create_task(asyncio.to_thread(service.warm_up))
        try:
            yield
        finally:
            await warming
            service.ready = False
            await service.jobs.stop()
            await asyncio.to_thread(service.readers.stop)

    app = FastAPI(
        title="mien",
        version=mien.__version__,
        description=_DESCRIPTION,
        docs_url=None,  # FastAPI's own pages load scripts from another host
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    problems.install(app)
    # Told in the OpenAPI document; the guard is what checks it.
    key = [Depends(HTTPBearer(auto_error=False, description="The API key"))] if settings.api_key else []
    app.include_router(picture_routes(service), dependencies=key)
    app.include_router(video_routes(service), dependencies=key)
    app.include_router(state_routes(service))
    app.include_router(stream_routes(service))
    app.include_router(documentation_routes(app))
    app.include_router(page_routes())
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(_Count, metrics=service.metrics)
    return app


# Any word may come as a method, and each would be a series of its own.
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class _Count:
    """ASGI middleware: counts the requests and times them."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            # The route's pattern, not the path: any path may be asked for, and each would be a series.
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, path, str(status)).inc()
            self._metrics.request_s.labels(path).observe(time.perf_counter() - start)
