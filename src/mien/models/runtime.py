"""ONNX Runtime: every part of mien imports it from here, without telemetry and with quiet sessions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# From version 1.30 on, its builds keep a device id and a queue of events in the user's cache folder and look
# up a collector's address some nine seconds after the first use. The variable must be set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as onnxruntime

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
) -> onnxruntime.InferenceSession:
    """A session of an ONNX file, with `options` in place of `session_options(threads)` if they are given.

    Raises:
        Exception: ONNX Runtime cannot open the file; its errors have no other base class in common.
    """
    return onnxruntime.InferenceSession(str(path), options or session_options(threads), list(providers))
