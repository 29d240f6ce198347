"""The public names: few, and none by accident."""

from __future__ import annotations

import mien


def test_public_names_are_these() -> None:
    assert sorted(mien.__all__) == [
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


def test_every_public_name_can_be_had() -> None:
    for name in mien.__all__:
        assert getattr(mien, name) is not None
