"""The training loop: epoch by epoch, step by step, with checkpoints and reports.

Every random number is a function of seed, epoch and step, so a run that is killed and resumed computes the
same numbers as one that was not.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.data.table import FaceTable
from mien.progress import duration
from mien.runs.environment import describe
from mien.runs.history import Epoch, best_of, is_better, overfitting, ran_out_of_patience
from mien.runs.recipe import Recipe
from mien.training.checkpoint import BEST, LAST, Checkpoint, read_checkpoint, write_checkpoint
from mien.training.data.extensions import Extensions
from mien.training.data.loader import NO_EXTENSIONS, BatchLoader
from mien.training.distributed import World
from mien.training.learner import Learner
from mien.training.process import Interrupt
from mien.training.reporter import Pace, Progress, Reporter
from mien.training.result import TrainResult
from mien.training.resume_state import Position, pack, unpack
from mien.training.run_folder import RunFolder
from mien.training.step_log import StepLog
from mien.training.validation import ValidationScores, scores_of, totals_of

# Between two readings of the device, and between two reports of progress.
_REPORT_INTERVAL_S = 0.5
# Processes on GPUs check only every so many steps whether one of them is to stop: each check makes them wait.
_STOP_CHECK_STEPS = 10
# After so long, and so many steps, the time of the whole run is estimated in a note.
_FORECAST_AFTER_S = 10.0
_FORECAST_STEPS = 3
# Between two additions to steps.csv, where checkpoints are rarer.
_RECORD_INTERVAL_S = 30.0


class Trainer:
    """One run: build it, then `run()`.

    Args:
        recipe: what to train, and how.
        faces: the table; the recipe names its splits.
        out: the run's folder.
        device: where pixels, augmentation and network are.
        world: the processes that share the work; each takes a part of every batch.
        reporter: receives progress and notes.
        resume: go on from the folder's last checkpoint, or from the beginning if there is none yet.
        options: what the run was started with, written to run.json.
        extensions: the caller's own loss and augmentation.
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
        extensions: Extensions = NO_EXTENSIONS,
    ) -> None:
        self.recipe, self.device, self.world, self.reporter = recipe, device, world, reporter
        self.folder = RunFolder(out)
        self.loader = BatchLoader(
            recipe, faces, device=device, world=world, note=reporter.note, extensions=extensions
        )
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
        self.learner = Learner.of(
            recipe,
            self.loader,
            device=device,
            world=world,
            pretrained=checkpoint is None,
            note=reporter.note,
            label_loss=extensions.summed_loss if extensions.loss else None,
        )
        self.position = Position(torch.zeros(5, dtype=self.learner.sums_type, device=device))
        self.log = StepLog(self.steps)
        sizes = [self._size(epoch) for epoch in range(recipe.schedule.epochs)]
        validated = self.loader.validation_faces / (self.loader.batch * world.size)
        self.pace = Pace(sizes, self.steps, validated)
        self._forecast_due = True
        self._begin(checkpoint)

    @property
    def history(self) -> list[Epoch]:
        """The finished epochs."""
        return self.position.history

    def run(self, interrupt: Interrupt) -> TrainResult:
        """Train until the recipe's last epoch, an early stop, or an interruption.

        Raises:
            Diverged: the loss is no longer a number.
            TrainError: not even two faces fit into the memory.
        """
        self._saved = self._recorded = self._entered = time.monotonic()
        self._started = self._saved - self.position.seconds
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            ended = self._train(interrupt)
        self.position.seconds = time.monotonic() - self._started
        self._save()
        self.folder.close()
        return TrainResult(
            self.folder.path,
            self.recipe,
            tuple(self.history),
            ended,
            self.position.seconds,
            self.loader.validation_faces,
        )

    def _train(self, interrupt: Interrupt) -> str:
        schedule = self.recipe.schedule
        while self.position.epoch < schedule.epochs:
            if ran_out_of_patience(self.history, schedule.patience):
                return "stopped early"
            self.learner.network.set_size(self._size(self.position.epoch))
            if not self._train_epoch(interrupt):
                return "interrupted"
            self._close_epoch()
        return "complete"

    def _train_epoch(self, interrupt: Interrupt) -> bool:
        """Go through the rest of the epoch; False if interrupted."""
        order = self.loader.order(self.position.epoch)
        self.learner.network.train()
        self.log.begin()
        reported = time.monotonic()
        reported_step = self.position.step
        while self.position.step < self.steps:
            wanted = self._one_step(order, interrupt)
            now = time.monotonic()
            if self.device.type == "cpu" or now - reported > _REPORT_INTERVAL_S or wanted:
                self.log.read()
                now = time.monotonic()
            if wanted:
                return False
            if self._save_is_due(now) and self.position.step < self.steps:
                self._save()
            if now - reported > _REPORT_INTERVAL_S or self.position.step == self.steps:
                self.pace.stepped(self.position.epoch, self.position.step - reported_step, now - reported)
                self._report((self.position.step - reported_step) / (now - reported))
                reported, reported_step = time.monotonic(), self.position.step
        self.log.read()
        return True

    def _one_step(self, order: Tensor, interrupt: Interrupt) -> bool:
        """One update, added to the sums; whether a process was requested to stop."""
        position, world = self.position, self.world
        lr = self.learner.lr
        sums, norm = self.learner.update(self.loader.batch_at(order, position.epoch, position.step))
        wanted = interrupt.wanted
        if world.size > 1:
            shared = world.sum(torch.cat([sums, sums.new_tensor([float(wanted)])]))
            sums = shared[:4]
            checks = self.device.type == "cpu" or position.step % _STOP_CHECK_STEPS == 0
            wanted = checks and bool(shared[4].item())
        objective, correct, faces, label_loss = sums
        norm = norm.to(sums)
        position.sums += torch.stack([objective, correct, faces, norm, label_loss])
        self.log.add(position.epoch * self.steps + position.step, lr, torch.stack([objective / faces, norm]))
        position.step += 1
        return wanted

    def _close_epoch(self) -> None:
        """Validate, record and save the epoch."""
        position = self.position
        self.learner.check_finite()
        began = time.monotonic()
        scores = self._validate()
        position.seconds = time.monotonic() - self._started
        self.pace.validated(position.epoch, time.monotonic() - began)
        row = self._row(scores)
        best = best_of(self.history)
        row = replace(row, best=is_better(row, best, self.recipe.loop.select))
        position.history.append(row)
        position.epoch, position.step = position.epoch + 1, 0
        position.sums.zero_()
        if self.world.is_first:
            if row.best:
                self._save_best(row)
            if self._save_is_due(time.monotonic()):
                self._save()
            self.folder.record_epoch(self.history)
            self.reporter.epoch(row, self.recipe.schedule.epochs)
            if warning := overfitting(self.history):
                self.reporter.note(warning)
        self.world.wait()

    def _validate(self) -> ValidationScores:
        network, learner = self.learner.network, self.learner
        with learner.autocast():
            if learner.ema:
                with learner.ema.applied(network):
                    totals = totals_of(network, self.loader.validation, learner.sums_type)
            else:
                totals = totals_of(network, self.loader.validation, learner.sums_type)
        return scores_of(self.world.sum(totals))

    def _row(self, scores: ValidationScores) -> Epoch:
        position = self.position
        objective, correct, faces, norms, label_loss = position.sums.tolist()
        before = self.history[-1].seconds if self.history else 0.0
        return Epoch(
            epoch=position.epoch + 1,
            size=self.learner.network.size,
            lr=self.learner.lr,
            train_loss=label_loss / faces,
            train_accuracy=correct / faces,
            validation_loss=scores.loss,
            validation_accuracy=scores.accuracy,
            votes_loss=scores.votes_loss,
            gap=scores.loss - label_loss / faces,
            gradient_norm=norms / self.steps,
            images_per_s=faces / (position.seconds - before),
            seconds=position.seconds,
            best=False,
            objective=objective / faces,
            validation_macro_f1=scores.macro_f1,
        )

    def _size(self, epoch: int) -> int:
        sizes = [size for start, size in self.recipe.schedule.sizes if start <= epoch]
        return sizes[-1] if sizes else self.recipe.network.size

    def _report(self, steps_per_s: float) -> None:
        if not self.world.is_first:
            return
        if time.monotonic() - self._recorded > _RECORD_INTERVAL_S:
            self._record_steps()
        position = self.position
        _, correct, faces, _, label_loss = position.sums.tolist()
        left = self.pace.left(position.epoch, position.step)
        self._forecast(left)
        self.reporter.step(
            Progress(
                epoch=position.epoch + 1,
                epochs=self.recipe.schedule.epochs,
                step=position.step,
                steps=self.steps,
                loss=label_loss / faces,
                accuracy=correct / faces,
                images_per_s=steps_per_s * self.loader.batch * self.world.size,
                seconds_left=left,
            )
        )

    def _forecast(self, left: float) -> None:
        """Note once, before an epoch has ended, how long the run will take; a short run needs no note."""
        seconds, position = time.monotonic() - self._entered, self.position
        if self._forecast_due and seconds > _FORECAST_AFTER_S and position.step >= _FORECAST_STEPS:
            self._forecast_due = False
            whole = left + time.monotonic() - self._started
            if self.history or position.step >= self.steps:
                return
            epochs = self.recipe.schedule.epochs
            self.reporter.note(
                f"At this speed the run takes about {duration(whole)}: {epochs} epochs of {self.steps} steps "
                f"of {self.loader.batch * self.world.size} faces. schedule.epochs=N makes it shorter."
            )

    def _begin(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint:
            self.position = unpack(checkpoint, self.learner)
            if self.world.is_first:
                step = self.position.epoch * self.steps + self.position.step
                for change in self.folder.resume(self.facts, step, self.history):
                    self.reporter.note(f"The run began with {change}: results may differ in the last bits.")
        elif self.world.is_first:
            self.folder.begin(self.recipe, self.facts)

    def _last_checkpoint(self) -> Checkpoint | None:
        """The last checkpoint of the folder; None if the run was killed before its first one."""
        path = self.folder.path / LAST
        return read_checkpoint(path) if path.exists() else None

    def _save_is_due(self, now: float) -> bool:
        return now - self._saved >= self.recipe.loop.save_every_s

    def _save(self) -> None:
        """Everything that the run needs to go on from here, by the first process."""
        self._saved = time.monotonic()
        if not self.world.is_first:
            return
        self.log.read()
        self.learner.check_finite()
        self.position.seconds = time.monotonic() - self._started
        self._record_steps()
        checkpoint = pack(self.learner, self.position)
        write_checkpoint(self.folder.path / LAST, checkpoint)

    def _record_steps(self) -> None:
        self._recorded = time.monotonic()
        self.folder.record_steps(self.log.drain())

    def _save_best(self, row: Epoch) -> None:
        facts = {
            "epoch": asdict(row),
            "size": row.size,
            "heads": self.loader.heads,
            "ema": self.learner.ema is not None,
            "input_size": self.loader.size,
        }
        write_checkpoint(self.folder.path / BEST, Checkpoint(dict(self.learner.weights_to_keep()), facts))
