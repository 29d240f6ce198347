"""The facts about this machine that `mien doctor` prints."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import mien
from mien.data.kaggle.remedies import credentials_source
from mien.errors import MienError
from mien.files import sha256_file
from mien.models import registry as weights

# Needed by `mien predict`; the others are of extras.
NEEDED = ("numpy", "onnxruntime", "pillow")
OPTIONAL = ("torch", "torchvision", "timm", "scikit-learn", "pandas", "pyarrow", "matplotlib", "kagglehub")

T = TypeVar("T")

DETECTOR, FACE_CHECK = "blazeface-back", "face-check"
WEIGHTS = weights.FOLDER
_REPEATS = 5


@dataclass(frozen=True)
class ModelFile:
    """A shipped network, and whether its file is the one that its card describes."""

    name: str
    sha256: str
    intact: bool


@dataclass(frozen=True)
class Machine:
    """The facts, and what is missing.

    Attributes:
        packages: name to version; None where it is not installed.
        providers: where ONNX Runtime can run, in its own names.
        cameras: device files; None on systems other than Linux.
        kaggle: where credentials were found, never their value; None without any.
        detect_ms: detecting faces in an image of 640x480, median of five; None if it fails.
        classify_ms: classifying one face, median of five; None if it fails.
        problems: what `mien predict` needs and is missing or broken, each with its remedy.
    """

    mien: str
    python: str
    system: str
    cores: int
    packages: dict[str, str | None]
    providers: tuple[str, ...]
    models: tuple[ModelFile, ...]
    cameras: tuple[str, ...] | None
    kaggle: str | None
    detect_ms: float | None
    classify_ms: float | None
    problems: tuple[str, ...]


def inspect_machine(folder: Path | None = None) -> Machine:
    """The facts about this machine. Broken parts raise no error; they are listed in `Machine.problems`."""
    folder = WEIGHTS if folder is None else folder
    problems: list[str] = []
    packages = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    problems += [f"{name} is not installed: pip install {name}" for name in NEEDED if packages[name] is None]
    return Machine(
        mien=mien.__version__,
        python=platform.python_version(),
        system=platform.platform(),
        cores=os.cpu_count() or 1,
        packages=packages,
        providers=_try(_providers, problems) or (),
        models=_models(folder, problems),
        cameras=_cameras(),
        kaggle=credentials_source(),
        detect_ms=_try(_detect_ms, problems),
        classify_ms=_try(_classify_ms, problems),
        problems=tuple(dict.fromkeys(problems)),
    )


def _version(package: str) -> str | None:
    """The installed version, without importing the package: torch alone would take seconds."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _try(inspect: Callable[[], T], problems: list[str]) -> T | None:
    """The result of `inspect`; None and a new problem if it raises any error."""
    try:
        return inspect()
    except MienError as error:
        problems.append(str(error))
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
    return None


def _providers() -> tuple[str, ...]:
    from mien.models.runtime import onnxruntime

    return tuple(onnxruntime.get_available_providers())


def _models(folder: Path, problems: list[str]) -> tuple[ModelFile, ...]:
    """Every network in the folder, its SHA-256 compared with the card beside it."""
    models = []
    for path in sorted(folder.glob("*.onnx")):
        sha256 = sha256_file(path)
        expected = _try(partial(_expected_sha256, path), problems)
        if expected is not None and expected != sha256:
            problems.append(
                f"{path} is not the file that its card describes: pip install --force-reinstall mien"
            )
        models.append(ModelFile(path.stem, sha256, expected == sha256))
    missing = {weights.DEFAULT, DETECTOR, FACE_CHECK} - {model.name for model in models}
    problems += [f"{name}.onnx is missing: pip install --force-reinstall mien" for name in sorted(missing)]
    return tuple(models)


def _expected_sha256(path: Path) -> str:
    text = path.with_suffix(".json").read_text(encoding="utf-8")
    return str(json.loads(text)["sha256"])


def _cameras() -> tuple[str, ...] | None:
    """Video devices, which are files on Linux only. They are not opened: that would turn on their light."""
    if sys.platform != "linux":
        return None
    return tuple(str(path) for path in sorted(Path("/dev").glob("video*")))


def _detect_ms() -> float:
    import numpy as np

    from mien.detection.blazeface import BlazeFace

    image = np.full((480, 640, 3), 128, np.uint8)
    detector = BlazeFace()
    return _median_ms(lambda: detector.detect(image))


def _classify_ms() -> float:
    import numpy as np

    from mien.models.onnx import OnnxClassifier

    classifier = OnnxClassifier()
    face = np.full((1, classifier.card.input_size, classifier.card.input_size), 128, np.uint8)
    return _median_ms(lambda: classifier.predict(face))


def _median_ms(work: Callable[[], object]) -> float:
    work()  # the first run allocates
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(times), 2)
