"""Threads of a training that wait do not spin, unless the caller wants it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHECK = """
import os, sys
import mien.training
assert "torch" not in sys.modules  # which reads the setting when it is imported
print(os.environ["OMP_WAIT_POLICY"])
"""


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_is_passive_before_torch_is_loaded_and_a_setting_stays(
    given: str | None, expected: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
