"""Training that is stopped by a signal, and two processes in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mien.errors import Interrupted, ResumeError
from mien.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mien.training.process import Interrupt
from mien.training.run_folder import LOCK, locked


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_remembered_and_becomes_the_exit_code(number: signal.Signals, code: int) -> None:
    with Interrupt() as interrupt:
        assert not interrupt.wanted
        os.kill(os.getpid(), number)
        assert interrupt.wanted
    assert Interrupted("saved", interrupt.signal).exit_code == code


@pytest.mark.skipif(sys.platform == "win32", reason="Windows goes without the lock")
def test_a_folder_in_use_names_the_process_that_uses_it(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ResumeError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows goes without the lock")
def test_the_lock_of_a_killed_process_does_not_count(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom mien.training.run_folder import locked\n"
        "with locked(Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass


def test_one_bit_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    tensors = {
        "a/x": torch.arange(600, dtype=torch.float32).reshape(20, 30),
        "a/step": torch.tensor(3),
        "b/y": torch.ones(50, dtype=torch.bfloat16),
        "b/none": torch.zeros(0),
        "b/mask": torch.tensor([True, False]),
    }
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, Checkpoint(tensors, {"epoch": 2}))
    data = path.read_bytes()
    assert read_checkpoint(path).facts == {"epoch": 2}
    for at in range(len(data) - 2400, len(data), 120):
        broken = bytearray(data)
        broken[at] ^= 1
        path.write_bytes(broken)
        with pytest.raises(ResumeError, match="was changed"):
            read_checkpoint(path)
