"""The routes of clips: a job is begun, asked about, and its result fetched."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from mien.errors import MissingExtra
from mien.serve.errors import Problem, documented
from mien.serve.images.routes import Labels, client_of
from mien.serve.schemas import JobAnswer
from mien.serve.service import Service
from mien.serve.video.job import Form, Job, VideoOptions
from mien.serve.video.uploads import write_clip
from mien.video.stages.select import FaceSelection

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_CLIP: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A clip's bytes, or a form with the clip as its file.",
        "content": {
            "video/*": _BINARY,
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"clip": {"type": "string", "format": "binary"}},
                    "required": ["clip"],
                }
            },
        },
    }
}
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
_Id = Annotated[str, Path(description="as the job's beginning answered", max_length=100)]
_Interval = Annotated[
    float | None,
    Query(
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds per sampled frame; default: every frame.",
    ),
]


def video_routes(service: Service) -> APIRouter:
    """`/v1/video` and what is below it."""
    router = APIRouter(tags=["clips"])
    jobs = service.jobs

    @router.post(
        "/v1/video",
        status_code=202,
        summary="Begin to read a clip",
        response_model=JobAnswer,
        responses=documented(401, 403, 408, 413, 415, 422, 429, 501, 503),
        openapi_extra=_CLIP,
    )
    async def begin(
        request: Request,
        labels: Labels = None,
        form: Annotated[Form, Query(alias="format", description="How the result is to be written.")] = "csv",
        interval: _Interval = None,
        faces: Annotated[FaceSelection, Query(description="All faces, or one person at a time.")] = "all",
    ) -> Response:
        """Takes the clip's bytes, never a path or an address. Ask for its progress, then fetch the result.

        The clip lies in a private temporary folder until it has been read; the result is kept for an hour,
        or until it is deleted.
        """
        _check_installed(form)
        options = VideoOptions(service.check_labels(labels), form, interval, faces)
        with service.one_more(client_of(request)):
            job = jobs.reserve("clip", options)
            try:
                async with asyncio.timeout(service.settings.limits.upload_s):
                    job.name = await write_clip(request, job.clip, service.settings.limits)
            except BaseException as error:
                await asyncio.shield(jobs.remove(job))
                if isinstance(error, TimeoutError):
                    raise Problem(408, "too_slow", "The clip did not arrive in time.") from None
                raise
        jobs.add(job)
        return JSONResponse(job.to_dict(), 202, headers={"Location": f"/v1/video/{job.id}"})

    @router.get(
        "/v1/video/{job_id}",
        summary="How far a clip is",
        response_model=JobAnswer,
        responses=documented(401, 403, 404, 422),
    )
    async def progress(job_id: _Id) -> Response:
        """`state` is waiting, running, done or failed; `people` is there once it is done."""
        return JSONResponse(jobs.get(job_id).to_dict())

    @router.get(
        "/v1/video/{job_id}/result",
        summary="The faces of a clip as a table",
        response_class=Response,
        responses={
            200: {
                "content": {
                    kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in _TYPES.values()
                }
            },
            **documented(401, 403, 404, 409, 422),
        },
    )
    async def result(job_id: _Id) -> Response:
        """A row a face and picture, as `mien predict` writes it."""
        job = jobs.get(job_id)
        if job.progress.state != "done":
            raise Problem(409, "not_done", _why_not(job))
        return FileResponse(job.result, media_type=_TYPES[job.options.form], filename=job.result.name)

    @router.delete(
        "/v1/video/{job_id}",
        status_code=204,
        summary="Give a clip up",
        response_class=Response,
        responses=documented(401, 403, 404, 422),
    )
    async def delete(job_id: _Id) -> Response:
        """Stops it if it is being read, and deletes clip and result."""
        await jobs.remove(jobs.get(job_id))
        return Response(status_code=204)

    return router


def _check_installed(form: Form) -> None:
    """Said before the clip is sent, not after."""
    if find_spec("av") is None:
        raise MissingExtra("reading videos", "video")
    if form == "parquet" and find_spec("pyarrow") is None:
        raise MissingExtra("Parquet tables", "video")


def _why_not(job: Job) -> str:
    if job.progress.state == "failed":
        return f"The clip could not be read: {job.progress.problem}"
    return f"The clip is {job.progress.state}; ask /v1/video/{job.id} for its progress."
