"""The exported model at work: pictures in, faces and their apparent expression out. No PyTorch.

``mien.analyze`` is two things by its name: this room, and the function that users call. Importing any
part of the room binds the name to the room, so the room itself can be called and hands on to
`mien.analyze.analyzer.analyze`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    """A package that can be called. Source: the Python reference, "Customizing module attribute access"."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from mien.analyze.analyzer import analyze

        return analyze(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
