"""ONNX Runtime: every part of mien imports it from here, without telemetry and with quiet sessions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# From version 1.30 on, its builds keep a device id and a queue of events in the user's cache folder and look
# up a collector's address some nine seconds after the first use. The variable must be set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as onnxruntime

from mien.errors import CardError, ModelError

CPU = "CPUExecutionProvider"
_ERRORS_ONLY = 3  # its warnings are about details of the graph that no user can change


def session_options(threads: int | None = None) -> onnxruntime.SessionOptions:
    """Options of a session with this many threads for one operator; ONNX Runtime chooses for None.

    Waiting threads sleep: by default they spin, which takes the core from every other thread and process.
    With both cores of a machine busy, a face took 15 ms with spinning and 3 ms without.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(
    path: Path,
    *,
    threads: int | None = None,
    providers: Sequence[Any] = (CPU,),
    options: onnxruntime.SessionOptions | None = None,
    sha256: str | None = None,
) -> onnxruntime.InferenceSession:
    """A session of an ONNX file, with `options` in place of `session_options(threads)` if they are given.

    The file is read here and handed over as bytes, so that it cannot name other files as parts of its
    weights; with `sha256`, the same bytes are compared with the hash first.

    Raises:
        OSError: the file cannot be read.
        CardError: the file has another hash.
        ModelError: ONNX Runtime cannot open the file, or it has weights in other files.
    """
    content = path.read_bytes()
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise CardError(
            f"{path} is not the file that its card describes (SHA-256 {found}, card {sha256}). "
            "Install mien again, or export the model again."
        )
    try:
        return onnxruntime.InferenceSession(content, options or session_options(threads), list(providers))
    except Exception as error:  # its exceptions share no public base but Exception
        outside = "external" in str(error).lower()
        why = "it has weights in other files, which mien does not read" if outside else f"{error}"
        raise ModelError(f"ONNX Runtime cannot open {path}: {why}") from error


def run_session(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], inputs: Mapping[str, Any], name: str
) -> list[Any]:
    """The outputs of a session, by name.

    Raises:
        ModelError: ONNX Runtime fails; `name` is the model's in the message.
    """
    try:
        return list(session.run(list(outputs), dict(inputs)))
    except Exception as error:  # its exceptions share no public base but Exception
        raise ModelError(f"{name} failed in ONNX Runtime: {error}") from error
