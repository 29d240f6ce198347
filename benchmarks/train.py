"""Faces per second: augmentation, and the whole training step, ours beside the report's own pipeline.

    python benchmarks/train.py                  # drawn faces
    python benchmarks/train.py fer2013.csv      # FER2013's

The report's pipeline is its Dataset with torchvision's transforms on PIL images, one face at a time, in a
DataLoader with no worker and with two; and its training step in plain PyTorch. Random weights cost the same.

A second table, where the CPU has the instructions: Lite0 at 96 px in bfloat16 by mien's own layers, beside
float32 and PyTorch's own bfloat16 on the same network and batches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mien.data import FaceTable, load
from mien.runs.environment import processor
from mien.runs.recipe import load_recipe
from mien.training.data.loader import BatchLoader
from mien.training.distributed import World
from mien.training.learner import Learner
from mien.training.network.bf16 import layers as kernels
from mien.training.network.model import build_network

BATCH = 128


class ReportDataset(Dataset[tuple[Tensor, int]]):
    """The report's FERDataset with its training transforms (section 3.1), to the letter."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(48, padding=2, padding_mode="reflect"),
                transforms.RandomAffine(degrees=(-15, 15), translate=(0.1, 0.1)),
                transforms.RandomHorizontalFlip(),
                transforms.Grayscale(num_output_channels=1),
                transforms.RandomAutocontrast(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,), (0.5,), inplace=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pixels[index]), int(self.labels[index])


Step = Callable[[], int]
"""Does a part of the work; returns the number of faces."""


def rate(step: Step, seconds: float) -> float:
    """Faces per second, after one step that does not count."""
    step()
    done, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        done += step()
    return done / elapsed


def ours_augmentation(faces: FaceTable) -> Step:
    """Our batches with the report's transforms, as training takes them."""
    recipe = load_recipe("report")
    loader = BatchLoader(recipe, faces, device=torch.device("cpu"), world=World(), note=print)
    order, steps = loader.order(0), count()

    def step() -> int:
        return len(loader.batch_at(order, 0, next(steps) % loader.steps).pixels)

    return step


def batches(faces: FaceTable, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The report's batches without end."""
    loader = DataLoader(
        ReportDataset(faces.pixels, faces.labels),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from loader


def report_augmentation(source: Iterator[tuple[Tensor, Tensor]]) -> Step:
    """The report's transforms in its DataLoader."""
    return lambda: len(next(source)[0])


def ours_step(faces: FaceTable, name: str = "report", precision: str = "auto") -> Step:
    """Our whole step: augmentation, network, update."""
    recipe = load_recipe(name, {"network.init": "random", "loop.precision": precision})
    world, device, note = World(), torch.device("cpu"), lambda _: None
    loader = BatchLoader(recipe, faces, device=device, world=world, note=note)
    learner = Learner(
        recipe,
        loader.heads,
        steps=10_000,
        batch=loader.batch,
        device=device,
        world=world,
        pretrained=False,
        note=note,
    )
    learner.network.train()
    order, steps = loader.order(0), count()

    def step() -> int:
        learner.update(loader.batch_at(order, 0, next(steps) % loader.steps))
        return loader.batch

    return step


def report_step(source: Iterator[tuple[Tensor, Tensor]]) -> Step:
    """The report's step (section 3.2.2) on the same network, in PyTorch's default layout."""
    network = build_network(load_recipe("report").network, ("fer2013",), seed=0, pretrained=False).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-4)

    def step() -> int:
        images, labels = next(source)
        # Its loader has standardised them, and so does our network.
        loss = nn.functional.cross_entropy(network(images * 0.5 + 0.5)["fer2013"], labels)
        loss.backward()
        nn.utils.clip_grad_value_(network.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
        return len(images)

    return step


def pytorch_bfloat16_step(faces: FaceTable) -> Step:
    """Our step with PyTorch's layers under its bfloat16 autocast."""
    with mock.patch.object(kernels, "install"):
        return ours_step(faces, "lite0", "bfloat16")


def measure(steps: dict[str, Step], seconds: float, rounds: int) -> dict[str, list[float]]:
    """Faces per second of each, in each round."""
    rates_by_name: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            rates_by_name[name].append(rate(step, seconds))
    return rates_by_name


def row(rates_by_name: dict[str, list[float]]) -> list[str]:
    """A cell each: median (least-most), and how many times as many the first has."""
    ours = median(next(iter(rates_by_name.values())))
    cells = []
    for rates in rates_by_name.values():
        cell = f"{median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
        cells.append(cell if not cells else f"{cell}  {ours / median(rates):.1f}x")
    return cells


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", default="synthetic")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    faces = load(options.data)
    names = ["mien", *(f"report, {workers} workers" for workers in (0, 2))]
    table = Table(title=f"faces per second, recipe report; {options.threads} threads, {processor()}")
    for name in ("", *names):
        table.add_column(name, justify="right" if name else "left")
    # A loader that waits takes no time from the others: it is at most two batches ahead for each worker.
    sources = [batches(faces, workers) for workers in (0, 2)]
    augmentation = [ours_augmentation(faces), *map(report_augmentation, sources)]
    rates_by_name = measure(dict(zip(names, augmentation, strict=True)), options.seconds, options.rounds)
    table.add_row("augmentation", *row(rates_by_name))
    whole = [ours_step(faces), *map(report_step, sources)]
    rates_by_name = measure(dict(zip(names, whole, strict=True)), options.seconds, options.rounds)
    table.add_row("whole step, B0 at 48 px", *row(rates_by_name))
    console = Console(width=130)
    console.print(table)
    if reason := kernels.why_not():
        console.print(f"No bfloat16 here: {reason}.")
        return
    lite0 = {
        "mien, bfloat16": ours_step(faces, "lite0", "bfloat16"),
        "mien, float32": ours_step(faces, "lite0", "float32"),
        "PyTorch's bfloat16": pytorch_bfloat16_step(faces),
    }
    table = Table(title=f"faces per second, recipe lite0; {options.threads} threads, {processor()}")
    for name in ("", *lite0):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("whole step, Lite0 at 96 px", *row(measure(lite0, options.seconds, options.rounds)))
    console.print(table)


if __name__ == "__main__":
    main()
