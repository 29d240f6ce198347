"""The service as one would first write it: a handler that decodes, finds faces and reads them in turn.

    python benchmarks/peers/plain_service.py PORT MODEL async|threads

`async` does one request after the other; with `threads` FastAPI runs the handler in its thread pool.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from mien.images.decode import read_image
from mien.inference.analyzer import Analyzer


def make_app(model: str, how: str) -> FastAPI:
    """The application."""
    app, analyzer = FastAPI(), Analyzer(model)

    def read(body: bytes) -> dict[str, Any]:
        image = read_image(body)
        faces = [face.to_dict() for face in analyzer.analyze(image)]
        return {"width": image.width, "height": image.height, "faces": faces}

    if how == "async":

        @app.post("/v1/analyze")
        async def analyze(request: Request) -> dict[str, Any]:
            return read(await request.body())

    else:
        from starlette.concurrency import run_in_threadpool

        @app.post("/v1/analyze")
        async def analyze_in_a_thread(request: Request) -> dict[str, Any]:
            return await run_in_threadpool(read, await request.body())

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


if __name__ == "__main__":
    uvicorn.run(
        make_app(sys.argv[2], sys.argv[3]), port=int(sys.argv[1]), log_level="warning", access_log=False
    )
