"""Many images or clips into a data set of Parquet files, which can be interrupted, continued, shared out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.batch.clip_worker import ClipReadOptions as ClipReadOptions
    from mien.batch.clips import merge_clips as merge_clips
    from mien.batch.clips import read_clips as read_clips
    from mien.batch.function import ImageFunction as ImageFunction
    from mien.batch.function import udf as udf
    from mien.batch.overview import Status as Status
    from mien.batch.overview import status as status
    from mien.batch.run import BatchResult as BatchResult
    from mien.batch.run import RayEngine as RayEngine
    from mien.batch.run import read_images as read_images
    from mien.batch.worker import ReadOptions as ReadOptions

# Loaded on first use, so that a worker process imports only what it needs.
_PLACES = {
    "ClipReadOptions": "mien.batch.clip_worker",
    "merge_clips": "mien.batch.clips",
    "read_clips": "mien.batch.clips",
    "ImageFunction": "mien.batch.function",
    "udf": "mien.batch.function",
    "BatchResult": "mien.batch.run",
    "RayEngine": "mien.batch.run",
    "read_images": "mien.batch.run",
    "ReadOptions": "mien.batch.worker",
    "Status": "mien.batch.overview",
    "status": "mien.batch.overview",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
