"""The application: routes, access control, metrics and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

import mien
from mien.serve.audit_log import AuditLog, open_log
from mien.serve.docs_page import docs_routes
from mien.serve.errors import install_error_handlers
from mien.serve.metrics import RequestMetrics
from mien.serve.routes.images import image_routes
from mien.serve.routes.status import about_routes, status_routes
from mien.serve.routes.stream import stream_routes
from mien.serve.routes.video import video_routes
from mien.serve.security import AccessControl
from mien.serve.service import Service
from mien.serve.settings import Settings
from mien.serve.static import page_routes

_DESCRIPTION = (
    "Predicts the apparent expression of faces: how a face looks, not what a person feels. Images are sent "
    "as bytes, stay in memory and are not stored. `/v1/stream` is a WebSocket and therefore not listed here; "
    "the project's documentation describes it."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application of a server with these settings, its models loaded.

    Raises:
        UnknownModel, CardError, ModelError, UsageError: the model cannot be used.
    """
    settings = settings or Settings()
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        app.openapi()  # FastAPI builds its routes on first use: here, and not beside the models' warm-up
        service.workers.start()
        service.jobs.start()
        warming = asyncio.create_task(asyncio.to_thread(service.warm_up))
        try:
            yield
        finally:
            await warming
            service.ready = False
            await service.jobs.stop()
            await asyncio.to_thread(service.workers.stop)

    app = FastAPI(
        title="mien",
        version=mien.__version__,
        description=_DESCRIPTION,
        docs_url=None,  # FastAPI's own pages load scripts from another host
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    install_error_handlers(app)
    # For the OpenAPI document; `AccessControl` checks the key.
    key = [Depends(HTTPBearer(auto_error=False, description="The API key"))] if settings.api_key else []
    for routes in (image_routes, video_routes, about_routes):
        app.include_router(routes(service), dependencies=key)
    app.include_router(status_routes(service))
    app.include_router(stream_routes(service))
    app.include_router(docs_routes(app))
    app.include_router(page_routes(settings.notice))
    app.add_middleware(AccessControl, settings=settings)
    if settings.audit_log is not None:
        app.add_middleware(AuditLog, file=open_log(settings.audit_log), model=settings.model)
    app.add_middleware(RequestMetrics, metrics=service.metrics)
    return app
