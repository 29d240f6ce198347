"""Read the apparent expression of faces: train, measure and use EfficientNets for FER.

    >>> import mien
    >>> mien.analyze("tests/absent.jpg")
    Traceback (most recent call last):
    ...
    mien.errors.ImageError: ...

Mien reads how a face looks. It does not know what a person feels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien.errors import MienError

if TYPE_CHECKING:
    from mien.data import load
    from mien.data.table import FaceTable
    from mien.inference.analyzer import Analyzer, analyze
    from mien.inference.face import Face
    from mien.video.analysis import analyze_video, live
    from mien.video.output.table import to_frame
    from mien.video.summary import summary

__version__ = "0.1.0"

__all__ = [
    "Analyzer",
    "Face",
    "FaceTable",
    "MienError",
    "__version__",
    "analyze",
    "analyze_video",
    "live",
    "load",
    "summary",
    "to_frame",
]

# Loaded on first use, so that `import mien` stays quick.
_HOMES = {
    "Analyzer": "mien.inference.analyzer",
    "Face": "mien.inference.face",
    "FaceTable": "mien.data.table",
    "analyze": "mien.inference.analyzer",
    "analyze_video": "mien.video.analysis",
    "live": "mien.video.analysis",
    "load": "mien.data",
    "summary": "mien.video.summary",
    "to_frame": "mien.video.output.table",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mien' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
