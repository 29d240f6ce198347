"""The faces on the device, and the batches that they come in: each a function of (seed, epoch, step)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mien.data.table import FaceTable
from mien.files import expanded
from mien.runs.recipe import Recipe
from mien.training.data.augment import augment
from mien.training.data.distillation import Teachers
from mien.training.data.extensions import Extensions
from mien.training.data.mixup import mixup
from mien.training.data.soft_targets import read_soft_targets
from mien.training.data.splits import batch_of, rows_of
from mien.training.data.targets import heads_of, targets_of
from mien.training.distributed import World

NO_EXTENSIONS = Extensions()


def seed_of(*position: int) -> int:
    """A 63-bit seed for a position in a run, such as (seed, epoch, step)."""
    digest = hashlib.blake2b(repr(position).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Inside, torch computes on the calling thread alone.

    Augmentation is many small operations. Spread over threads, each waits for the slowest thread; if another
    program uses a core, that takes far longer than the work itself.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, eq=False)
class Batch:
    """What one process trains on in one step.

    Attributes:
        pixels: float (B, 1, S, S) in 0..1.
        targets: by head (B, C), the teachers' share included.
        labels: (B, C), from the data alone: for measures.
        seed: of all other randomness in the step.
    """

    pixels: Tensor
    targets: dict[str, Tensor]
    labels: Tensor
    seed: int


@dataclass(frozen=True, eq=False)
class ValidationFaces:
    """A process's part of the validation faces: pixels uint8 (N, S, S), and targets by head (N, C)."""

    pixels: Tensor
    targets: dict[str, Tensor]


class BatchLoader:
    """The training and validation faces of a run, on the device.

    Args:
        note: is called with a text for each kind of face that is left out.
        extensions: the caller's own augmentation.

    Attributes:
        heads: those that the faces have targets for, the labels' head first.
        size: the side of a face in pixels.
        training_faces, validation_faces: how many.
        batch: faces that this process has in a step.
        steps: of an epoch; faces that do not fill a whole batch are left out of it.
        label_counts: training faces of each class, (C,).
        validation: this process's part of the validation faces.
    """

    def __init__(
        self,
        recipe: Recipe,
        faces: FaceTable,
        *,
        device: torch.device,
        world: World,
        note: Callable[[str], None],
        extensions: Extensions = NO_EXTENSIONS,
    ) -> None:
        self._extensions = extensions
        self.recipe, self.device, self.world = recipe, device, world
        self.heads = heads_of(faces, recipe.data)
        train, validation = rows_of(faces, recipe.data, note)
        self.size = train.pixels.shape[-1]
        smallest = min([recipe.network.size, *(side for _, side in recipe.schedule.sizes)])
        if self.size > smallest:
            note(
                f"The faces are {self.size} px, and the network scales them down to {smallest}. Set "
                f"network.size={self.size} (and schedule.sizes) to use all of their pixels."
            )
        self.training_faces, self.validation_faces = len(train), len(validation)
        self.batch = batch_of(recipe.loop.batch_size, len(train), world.size)
        self.steps = len(train) // (self.batch * world.size)
        self._pixels = torch.from_numpy(train.pixels.copy()).to(device)  # (N, S, S)
        self._targets = targets_of(train, self.heads, device, recipe.data.classes)
        self.label_counts = self._targets[self.heads[0]].sum(0)
        distil = recipe.distil
        taught = distil.teachers or distil.predictions
        self._teachers = Teachers(distil, self.heads, device, recipe.loop) if taught else None
        self._predicted: dict[str, Tensor] = {}
        if distil.predictions:
            known = read_soft_targets(expanded(distil.predictions), train.pixels, self.heads)
            self._predicted = {head: rows.to(device) for head, rows in known.items()}
        elif self._teachers and distil.input != "batch":
            note(f"The teachers {', '.join(distil.teachers)} predict on {len(train)} faces.")
            self._predicted = self._teachers.predict_faces(self._pixels)
        own = validation.take(np.arange(len(validation))[world.rank :: world.size])
        self.validation = ValidationFaces(
            torch.from_numpy(own.pixels.copy()).to(device),
            targets_of(own, self.heads, device, recipe.data.classes),
        )

    def order(self, epoch: int) -> Tensor:
        """The order of the faces in an epoch, the same in every process, (N,).

        If sampling is balanced, faces are drawn with replacement, each class as often as any other.
        """
        generator = torch.Generator().manual_seed(seed_of(self.recipe.loop.seed, epoch))
        if self.recipe.loop.sampling == "balanced":
            labels = self._targets[self.heads[0]].argmax(1).cpu()
            chances = 1 / self.label_counts.cpu().double().clamp_min(1)[labels]
            drawn = torch.multinomial(chances, self.training_faces, replacement=True, generator=generator)
            return drawn.to(self.device)
        return torch.randperm(self.training_faces, generator=generator).to(self.device)

    def faces_at(self, index: Tensor) -> Tensor:
        """Faces of the training split as they are in the data, uint8 (n, S, S)."""
        return self._pixels[index]

    def sample(self, n: int) -> Tensor:
        """The first faces of the first epoch, augmented: float (n, 1, S, S) in 0..1."""
        generator = torch.Generator(self.device).manual_seed(seed_of(self.recipe.loop.seed))
        faces = augment(self._pixels[self.order(0)[:n]], self.recipe.augment, generator)
        return self._extensions.augmented(faces, generator)

    def batch_at(self, order: Tensor, epoch: int, step: int) -> Batch:
        """This process's part of a step's faces, augmented and perhaps mixed."""
        recipe, world = self.recipe, self.world
        first = (step * world.size + world.rank) * self.batch
        index = order[first : first + self.batch]
        seed = seed_of(recipe.loop.seed, epoch, step, world.rank)
        generator = torch.Generator(self.device).manual_seed(seed)
        with on_one_thread():
            pixels = augment(self._pixels[index], recipe.augment, generator)
            pixels = self._extensions.augmented(pixels, generator)
            targets = {name: target[index] for name, target in self._targets.items()}
            wanted = targets | {"labels": targets[self.heads[0]]}
            if self._teachers and self._predicted:
                known = {name: predictions[index] for name, predictions in self._predicted.items()}
                wanted |= self._teachers.blend(targets, known)
            if epoch < recipe.schedule.epochs - recipe.augment.mixup_off_epochs:
                pixels, wanted = mixup(pixels, wanted, recipe.augment, np.random.default_rng(seed))
        labels = wanted.pop("labels")
        if self._teachers and not self._predicted:
            wanted = self._teachers.blend(wanted, self._teachers.predict(pixels))
        return Batch(pixels, wanted, labels, seed)
