"""The routes of clips: start a job, read its status, fetch its result."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from mien.errors import MissingExtra
from mien.serve.errors import ServiceError, error_responses
from mien.serve.schemas import JobStatus
from mien.serve.service import LabelsParameter, MovementsParameter, Service, client_address
from mien.serve.uploads import save_clip, upload_schema
from mien.serve.video.job import JobOptions, TableFormat, VideoJob
from mien.serve.video.queue import JobQueue
from mien.video.options.clips import FaceSelection

_CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
_TABLE = {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in _CONTENT_TYPES.values()}
_JobId = Annotated[str, Path(description="the `id` of the job", max_length=100)]
_Format = Annotated[TableFormat, Query(alias="format", description="Format of the table.")]
_Interval = Annotated[
    float | None,
    Query(
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Analyze one frame per interval, in seconds. Default: every frame.",
    ),
]
_People = Annotated[
    Literal["clip", "off"],
    Query(description="Whether a person who returns in the clip gets their number back: clip, or off."),
]
_Faces = Annotated[FaceSelection, Query(description="All faces, or one person at a time.")]


def video_routes(service: Service) -> APIRouter:
    """`/v1/video` and the routes below it."""
    router = APIRouter(tags=["clips"])

    @router.post(
        "/v1/video",
        status_code=202,
        summary="Start to analyze a clip",
        response_model=JobStatus,
        responses=error_responses(401, 403, 408, 413, 415, 422, 429, 501, 503),
        openapi_extra=upload_schema("video", "clip", several=False),
    )
    async def start(
        request: Request,
        labels: LabelsParameter = None,
        table_format: _Format = "csv",
        interval: _Interval = None,
        faces: _Faces = "all",
        people: _People = "clip",
        movements: MovementsParameter = "off",
    ) -> Response:
        """Send the bytes of a clip, not a path or URL. Then read the job's status until it is done.

        The clip is kept in a private temporary folder until it is analyzed; the result is kept for an hour,
        or until you delete it.
        """
        _check_packages(table_format)
        label_set = service.resolve_labels(labels)
        measured = movements == "on"
        options = JobOptions(label_set, table_format, interval, faces, people, movements=measured)
        with service.client_slot(client_address(request)):
            job = await _receive(service, request, options)
        return JSONResponse(job.status.model_dump(), 202, headers={"Location": f"/v1/video/{job.id}"})

    _add_job_routes(router, service.jobs)
    return router


def _add_job_routes(router: APIRouter, jobs: JobQueue) -> None:
    """`/v1/video/{job_id}` and `/v1/video/{job_id}/result`."""

    @router.get(
        "/v1/video/{job_id}", summary="The status of a clip", responses=error_responses(401, 403, 404, 422)
    )
    async def status(job_id: _JobId) -> JobStatus:
        """`state` is waiting, running, done or failed; `people` is filled once it is done."""
        return jobs.get(job_id).status

    @router.get(
        "/v1/video/{job_id}/result",
        summary="The faces of a clip as a table",
        response_class=Response,
        responses={200: {"content": _TABLE}, **error_responses(401, 403, 404, 409, 422)},
    )
    async def result(job_id: _JobId) -> Response:
        """One row per face and frame, in the format of `mien predict`."""
        job = jobs.get(job_id)
        if job.status.state != "done":
            raise ServiceError(409, "not_ready", _explain_state(job))
        if job.overflow:
            content = await asyncio.to_thread(job.result.read_bytes) + job.overflow
            headers = {"Content-Disposition": f'attachment; filename="{job.result.name}"'}
            return Response(content, media_type=_CONTENT_TYPES[job.options.format], headers=headers)
        return FileResponse(
            job.result, media_type=_CONTENT_TYPES[job.options.format], filename=job.result.name
        )

    @router.delete(
        "/v1/video/{job_id}",
        status_code=204,
        summary="Delete a clip",
        response_class=Response,
        responses=error_responses(401, 403, 404, 422),
    )
    async def delete(job_id: _JobId) -> Response:
        """Stops the analysis if it is running, and deletes the clip and the result."""
        await jobs.remove(jobs.get(job_id))
        return Response(status_code=204)


async def _receive(service: Service, request: Request, options: JobOptions) -> VideoJob:
    """The job of a request, queued.

    Raises:
        ServiceError: the clip did not arrive in time, or is refused; nothing of it is kept.
    """
    limits = service.settings.limits
    job = service.jobs.reserve("clip", options)
    try:
        async with asyncio.timeout(limits.upload_s):
            job.name = await save_clip(request, job.clip, limits)
    except BaseException as error:
        await asyncio.shield(service.jobs.remove(job))
        if isinstance(error, TimeoutError):
            raise ServiceError(
                408, "request_timeout", f"The clip did not arrive within {limits.upload_s:g} s."
            ) from None
        raise
    service.jobs.add(job)
    return job


def _check_packages(table_format: TableFormat) -> None:
    """Raises MissingExtra before the clip is sent."""
    if find_spec("av") is None:
        raise MissingExtra("reading videos", "video")
    if table_format == "parquet" and find_spec("pyarrow") is None:
        raise MissingExtra("Parquet tables", "video")


def _explain_state(job: VideoJob) -> str:
    status = job.status
    if status.error is not None:
        return f"The clip could not be analyzed: {status.error.message}"
    return f"The clip is {status.state}. Read /v1/video/{job.id} until `state` is done."
