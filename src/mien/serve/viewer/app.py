"""The application of `mien view`: the page, the results, the clips and the corrections."""

from __future__ import annotations

import mimetypes
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query
from fastapi.responses import FileResponse, JSONResponse, Response

import mien
from mien.names import json_text
from mien.serve.errors import ServiceError, install_error_handlers
from mien.serve.security import AccessControl
from mien.serve.server import Server, run_server, server_of
from mien.serve.settings import Limits, Settings
from mien.serve.static import StaticFile, collect, file_routes
from mien.serve.viewer.faces import frames_of, timeline_of
from mien.serve.viewer.session import Session

# Of the page of `mien live`.
_SHARED = ("style.css", "icon.svg", "js/emotions.js", "js/overlay.js")
# The longest stretch of frames in one response, and the most bins of a timeline.
_LONGEST_S, _MOST_BINS = 120.0, 4000
# A browser that pauses a clip leaves the rest of it unread.
_PAUSED_S = 3600.0

Time = Annotated[float, Query(ge=0, allow_inf_nan=False)]


class _Json(JSONResponse):
    """JSON with names that are not Unicode escaped."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()


class Viewer:
    """The state of the server: its settings, and the study.

    Attributes:
        settings, stopping: as of `mien.serve.service.Service`.
        session: the study.
    """

    def __init__(self, session: Session, port: int) -> None:
        self.settings = Settings(port=port, notice=None, limits=Limits(send_s=_PAUSED_S))
        self.stopping = False
        self.session = session


def viewer_files() -> dict[str, StaticFile]:
    """Path below ``/`` to file; the page itself has the path ``""``."""
    live = collect(files("mien.serve") / "page")
    page = {path: live[path] for path in _SHARED} | collect(files("mien.serve.viewer") / "page")
    page[""] = page.pop("index.html")
    return page


def create_viewer(viewer: Viewer) -> FastAPI:
    """The ASGI application for one study. Only this machine can reach it: see `AccessControl`."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        viewer.session.close()

    app = FastAPI(
        title="mien view",
        version=mien.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    install_error_handlers(app)
    _add_study_routes(app, viewer.session)
    _add_clip_routes(app, viewer.session)
    app.include_router(file_routes(viewer_files()))
    app.add_middleware(AccessControl, settings=viewer.settings)
    return app


def run_viewer(
    folder: Path, clips: Path | None, port: int, on_listening: Callable[[str], None]
) -> signal.Signals | None:
    """Serve the viewer of a study on 127.0.0.1 until a signal, which is returned.

    Raises:
        UsageError: the folder contains no study, or the port is not available.
        CorrectionError: the corrections of the study cannot be read.
    """
    viewer = Viewer(Session(folder, clips), port)
    server: Server = server_of(create_viewer(viewer), viewer)
    return run_server(server, viewer.settings, "http", on_listening)


def _add_study_routes(app: FastAPI, session: Session) -> None:
    @app.get("/v1/study")
    def study() -> Response:
        return _Json(session.overview())

    @app.post("/v1/corrections")
    def correct(entry: Annotated[dict[str, Any], Body()]) -> Response:
        session.add(entry)
        return _Json(session.corrections())

    @app.post("/v1/save")
    def save() -> Response:
        session.save()
        return _Json(session.corrections())


def _add_clip_routes(app: FastAPI, session: Session) -> None:
    def known(name: str) -> str:
        if name not in session:
            raise ServiceError(404, "not_found", f"The study has no clip {name!r:.200}.")
        return name

    @app.get("/v1/clip")
    def clip(name: str) -> Response:
        return _Json(session.clip(known(name)))

    @app.get("/v1/loaded")
    def loaded(name: str) -> Response:
        return _Json(session.loaded(known(name)))

    @app.get("/v1/frames")
    def frames(name: str, from_s: Time, to_s: Time) -> Response:
        if not from_s < to_s <= from_s + _LONGEST_S:
            raise _range_error(f"to_s must be at most {_LONGEST_S:g} s behind from_s", from_s, to_s)
        return _Json(frames_of(session.faces(known(name)), from_s, to_s))

    @app.get("/v1/timeline")
    def timeline(
        name: str, from_s: Time, to_s: Time, bins: Annotated[int, Query(ge=1, le=_MOST_BINS)]
    ) -> Response:
        if not from_s < to_s:
            raise _range_error("to_s must be behind from_s", from_s, to_s)
        return _Json(timeline_of(session.faces(known(name)), from_s, to_s, bins))

    @app.get("/v1/frame.jpg")
    def frame(name: str, time_s: Time) -> Response:
        return Response(session.jpeg(known(name), time_s), media_type="image/jpeg")

    @app.api_route("/v1/clip.video", methods=["GET", "HEAD"])
    def video(name: str) -> FileResponse:
        path = session.path(known(name))
        if path is None or not path.is_file():
            raise ServiceError(404, "no_clip", "The clip's file is not there.")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return FileResponse(path, media_type=kind)


def _range_error(message: str, from_s: float, to_s: float) -> ServiceError:
    return ServiceError(422, "invalid_argument", f"{message}; got {from_s:g} to {to_s:g}.")
