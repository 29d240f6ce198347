"""A table of faces to a trained network. Needs the `train` extra."""

import os

# libgomp reads it once, when PyTorch loads it. Where other programs use the cores too, threads that wait for
# each other otherwise spin through the time that the others need: `benchmarks/openmp.py`.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
