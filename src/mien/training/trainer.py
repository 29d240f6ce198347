"""The training loop: epoch by epoch, step by step, saving and telling on the way.

Because nothing random is carried from step to step, a run that is killed and resumed goes through the
same numbers as one that was not.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.data.table import FaceTable
from mien.runs.environment import describe
from mien.runs.history import Epoch, best_of, is_better, overfitting, ran_out_of_patience
from mien.runs.recipe import Recipe
from mien.training.checkpoint import BEST, LAST, Checkpoint, read_checkpoint, write_checkpoint
from mien.training.data.loader import BatchLoader
from mien.training.distributed import World
from mien.training.learner import Learner
from mien.training.process import Interrupt
from mien.training.reporter import Pace, Progress, Reporter
from mien.training.resume_state import Position, pack, unpack
from mien.training.run_folder import RunFolder
from mien.training.step_log import StepLog
from mien.training.validation import Scores, scores_of, totals_of

# Between two looks at the device and two movements of the bar.
_TELL_EVERY_S = 0.5
# Processes on GPUs ask each other only every so many steps whether one is to stop: it makes them wait.
_ASK_EVERY_STEPS = 10


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: the best epoch, and whether it was all of them, stopped early, or interrupted.

    `summary` says it in one line.
    """

    best: Epoch | None
    epochs: int
    ended: str
    seconds: float
    summary: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the run is finished, rather than to be resumed."""
        return self.ended != "interrupted"


class Trainer:
    """One run: build it, then `run()`.

    Args:
        recipe: what to do.
        faces: the table; its splits are named in the recipe.
        out: the run's folder.
        device: where pixels, augmentation and network live.
        world: the processes that share the work; each takes a part of every batch.
        reporter: who is told.
        resume: go on from the folder's last checkpoint, or from the beginning where there is none yet.
        options: what the run was started with, to be kept beside its facts.
    """

    def __init__(
        self,
        recipe: Recipe,
        faces: FaceTable,
        out: Path,
        *,
        device: torch.device,
        world: World,
        reporter: Reporter,
        resume: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.recipe, self.device, self.world, self.reporter = recipe, device, world, reporter
        self.folder = RunFolder(out)
        self.loader = BatchLoader(recipe, faces, device=device, world=world, note=reporter.note)
        self.steps = self.loader.steps
        self.facts = describe(
            recipe,
            faces,
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            threads=torch.get_num_threads(),
            processes=world.size,
            torch_version=str(torch.__version__),
        ) | {
            "training_faces": self.loader.training_faces,
            "validation_faces": self.loader.validation_faces,
            "options": options or {},
        }
        if resume:
            self.folder.check_faces(self.facts["data"]["sha256"])
        checkpoint = self._last_checkpoint() if resume else None
        self.learner = Learner(
            recipe,
            self.loader.heads,
            steps=self.steps,
            batch=self.loader.batch,
            device=device,
            world=world,
            pretrained=checkpoint is None,
            sample=self.loader.sample,
            note=reporter.note,
        )
        self.at = Position(torch.zeros(5, dtype=self.learner.sums_type, device=device))
        self.log = StepLog(self.steps)
        self.pace = Pace([self._size(epoch) for epoch in range(recipe.schedule.epochs)], self.steps)
        self._begin(checkpoint)

    @property
    def history(self) -> list[Epoch]:
        """The finished epochs."""
        return self.at.history

    def run(self, interrupt: Interrupt) -> TrainResult:
        """Train until the recipe's last epoch, an early stop, or an interruption, and say which it was.

        Raises:
            Diverged: the loss is no longer a number.
            TrainError: not even two faces fit into the memory.
        """
        self._started = time.monotonic() - self.at.seconds
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            ended = self._train(interrupt)
        self.at.seconds = time.monotonic() - self._started
        if ended == "interrupted" and self.world.is_first:
            self._save()
        self.folder.close()
        return TrainResult(best_of(self.history), len(self.history), ended, self.at.seconds)

    def _train(self, interrupt: Interrupt) -> str:
        schedule = self.recipe.schedule
        while self.at.epoch < schedule.epochs:
            if ran_out_of_patience(self.history, schedule.patience):
                return "stopped early"
            self.learner.network.set_size(self._size(self.at.epoch))
            if not self._train_epoch(interrupt):
                return "interrupted"
            self._close_epoch()
        return "complete"

    def _train_epoch(self, interrupt: Interrupt) -> bool:
        """Go through the rest of the epoch; False if interrupted."""
        order = self.loader.order(self.at.epoch)
        self.learner.network.train()
        self.log.begin()
        saved = told = time.monotonic()
        told_step = self.at.step
        while self.at.step < self.steps:
            wanted = self._one_step(order, interrupt)
            now = time.monotonic()
            if self.device.type == "cpu" or now - told > _TELL_EVERY_S or wanted:
                self.log.read()
                now = time.monotonic()
            if wanted:
                return False
            if now - saved >= self.recipe.loop.save_every_s and self.at.step < self.steps:
                if self.world.is_first:
                    self._save()
                saved = time.monotonic()
            if now - told > _TELL_EVERY_S or self.at.step == self.steps:
                self.pace.stepped(self.at.epoch, self.at.step - told_step, now - told)
                self._tell((self.at.step - told_step) / (now - told))
                told, told_step = time.monotonic(), self.at.step
        self.log.read()
        return True

    def _one_step(self, order: Tensor, interrupt: Interrupt) -> bool:
        """One update, and its place in the sums; whether a process was asked to stop."""
        at, world = self.at, self.world
        lr = self.learner.lr
        sums, norm = self.learner.update(self.loader.batch_at(order, at.epoch, at.step))
        wanted = interrupt.wanted
        if world.size > 1:
            shared = world.sum(torch.cat([sums, sums.new_tensor([float(wanted)])]))
            sums = shared[:4]
            asks = self.device.type == "cpu" or at.step % _ASK_EVERY_STEPS == 0
            wanted = asks and bool(shared[4].item())
        objective, right, faces, label_loss = sums
        norm = norm.to(sums)
        at.sums += torch.stack([objective, right, faces, norm, label_loss])
        self.log.add(at.epoch * self.steps + at.step, lr, torch.stack([objective / faces, norm]))
        at.step += 1
        return wanted

    def _close_epoch(self) -> None:
        """Validate, and record and save what the epoch brought."""
        at = self.at
        self.learner.check_finite()
        began = time.monotonic()
        scores = self._validate()
        at.seconds = time.monotonic() - self._started
        self.pace.validated(at.epoch, time.monotonic() - began)
        row = self._row(scores)
        best = best_of(self.history)
        row = replace(row, best=is_better(row, best, self.recipe.loop.select))
        at.history.append(row)
        at.epoch, at.step = at.epoch + 1, 0
        at.sums.zero_()
        if self.world.is_first:
            if row.best:
                self._save_best(row)
            self._save()
            self.folder.record_epoch(self.history)
            self.reporter.epoch(row, self.recipe.schedule.epochs)
            if warning := overfitting(self.history):
                self.reporter.note(warning)
        self.world.wait()

    def _validate(self) -> Scores:
        network, learner = self.learner.network, self.learner
        with learner.autocast():
            if learner.ema:
                with learner.ema.applied(network):
                    totals = totals_of(network, self.loader.validation, learner.sums_type)
            else:
                totals = totals_of(network, self.loader.validation, learner.sums_type)
        return scores_of(self.world.sum(totals))

    def _row(self, scores: Scores) -> Epoch:
        at = self.at
        objective, right, faces, norms, label_loss = at.sums.tolist()
        before = self.history[-1].seconds if self.history else 0.0
        return Epoch(
            epoch=at.epoch + 1,
            size=self.learner.network.size,
            lr=self.learner.lr,
            train_loss=label_loss / faces,
            train_accuracy=right / faces,
            validation_loss=scores.loss,
            validation_accuracy=scores.accuracy,
            votes_loss=scores.votes_loss,
            gap=scores.loss - label_loss / faces,
            gradient_norm=norms / self.steps,
            images_per_s=faces / (at.seconds - before),
            seconds=at.seconds,
            best=False,
            objective=objective / faces,
        )

    def _size(self, epoch: int) -> int:
        sizes = [size for start, size in self.recipe.schedule.sizes if start <= epoch]
        return sizes[-1] if sizes else self.recipe.network.size

    def _tell(self, steps_per_s: float) -> None:
        if not self.world.is_first:
            return
        at = self.at
        _, right, faces, _, label_loss = at.sums.tolist()
        self.reporter.step(
            Progress(
                epoch=at.epoch + 1,
                epochs=self.recipe.schedule.epochs,
                step=at.step,
                steps=self.steps,
                loss=label_loss / faces,
                accuracy=right / faces,
                images_per_s=steps_per_s * self.loader.batch * self.world.size,
                seconds_left=self.pace.left(at.epoch, at.step),
            )
        )

    def _begin(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint:
            self.at = unpack(checkpoint, self.learner)
            if self.world.is_first:
                step = self.at.epoch * self.steps + self.at.step
                for change in self.folder.go_on(self.facts, step, self.history):
                    self.reporter.note(f"The run began with {change}: the last bits may differ from then.")
        elif self.world.is_first:
            self.folder.begin(self.recipe, self.facts)

    def _last_checkpoint(self) -> Checkpoint | None:
        """What the folder was left with; None where the run was killed before it first saved."""
        path = self.folder.path / LAST
        return read_checkpoint(path) if path.exists() else None

    def _save(self) -> None:
        """Everything that the run needs to go on from here."""
        self.log.read()
        self.learner.check_finite()
        self.at.seconds = time.monotonic() - self._started
        self.folder.record_steps(self.log.take())
        checkpoint = pack(self.learner, self.at)
        write_checkpoint(self.folder.path / LAST, checkpoint)

    def _save_best(self, row: Epoch) -> None:
        facts = {
            "epoch": asdict(row),
            "size": row.size,
            "heads": self.loader.heads,
            "ema": self.learner.ema is not None,
            "input_size": self.loader.size,
        }
        write_checkpoint(self.folder.path / BEST, Checkpoint(dict(self.learner.weights_to_keep()), facts))
