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

from mien.errors import MienError, MissingExtra

if TYPE_CHECKING:  # what type checkers and editors see
    from mien.api import audit, compare, evaluate, explain, export
    from mien.data import load
    from mien.data.table import FaceTable
    from mien.inference.analyzer import Analyzer, analyze
    from mien.inference.annotate import draw
    from mien.inference.face import Face
    from mien.loading import load_model
    from mien.reports.run import report
    from mien.runs.recipe import Recipe
    from mien.training.api import train
    from mien.training.lr_finder import find_lr
    from mien.video.analysis import analyze_video, live
    from mien.video.output.table import to_frame
    from mien.video.study.rewrite import apply_corrections
    from mien.video.summary import summary

__version__ = "0.1.0"

# The public names and their homes. Loaded on first use, so that `import mien` stays quick.
_HOMES = {
    "Analyzer": "mien.inference.analyzer",
    "Face": "mien.inference.face",
    "FaceTable": "mien.data.table",
    "Recipe": "mien.runs.recipe",
    "analyze": "mien.inference.analyzer",
    "analyze_video": "mien.video.analysis",
    "apply_corrections": "mien.video.study.rewrite",
    "audit": "mien.api",
    "compare": "mien.api",
    "draw": "mien.inference.annotate",
    "evaluate": "mien.api",
    "explain": "mien.api",
    "export": "mien.api",
    "find_lr": "mien.training.lr_finder",
    "live": "mien.video.analysis",
    "load": "mien.data",
    "load_model": "mien.loading",
    "report": "mien.reports.run",
    "summary": "mien.video.summary",
    "to_frame": "mien.video.output.table",
    "train": "mien.training.api",
}

__all__ = [
    "Analyzer",
    "Face",
    "FaceTable",
    "MienError",
    "Recipe",
    "__version__",
    "analyze",
    "analyze_video",
    "apply_corrections",
    "audit",
    "compare",
    "draw",
    "evaluate",
    "explain",
    "export",
    "find_lr",
    "live",
    "load",
    "load_model",
    "report",
    "summary",
    "to_frame",
    "train",
]

# Names that need an extra: the feature, and the extra.
_EXTRAS = {"Recipe": ("Recipe", "train"), "train": ("Training", "train")}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            if name in _EXTRAS:
                raise MissingExtra(*_EXTRAS[name]) from error
            raise
    raise AttributeError(f"module 'mien' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
