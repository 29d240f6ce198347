"""What a training sets for its whole process, and puts back when it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def settings_put_back() -> Iterator[None]:
    """Afterwards torch's threads and generator, cuDNN's search and denormal numbers are as they were before.

    For a program that trains and goes on. It is a decorator too.
    """
    threads = torch.get_num_threads()
    benchmark = torch.backends.cudnn.benchmark
    flushed = denormals_are_flushed()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        torch.set_flush_denormal(flushed)


def denormals_are_flushed() -> bool:
    """Whether this thread's processor makes 0 of numbers smaller than `sys.float_info.min`."""
    return sys.float_info.min / 2 == 0.0
