"""A run's folder: the resolved recipe, the environment of the run, and its figures by epoch and step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from mien.errors import ResumeError
from mien.files import csv_text, hold_lock, write_atomically
from mien.runs.history import Epoch
from mien.runs.recipe import Recipe, to_toml
from mien.training.step_log import Step

LOCK = "run.lock"
_STEP_COLUMNS = tuple(entry.name for entry in fields(Step))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a run to this process: its id is in the file `LOCK` of the folder meanwhile.

    See `mien.files.hold_lock` for what that holds against.

    Raises:
        ResumeError: another process trains in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / LOCK) as owner:
        if owner is not None:
            raise ResumeError(
                f"{folder} is in use by process {owner}, which still trains there. Wait until it ends, "
                f"or stop it first: kill {owner}"
            )
        yield


class RunFolder:
    """Writes a run's files; only the first of several processes should hold one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._board: Any = None

    def begin(self, recipe: Recipe, facts: dict[str, Any]) -> None:
        """Make the folder and record what is about to be run."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_json("run.json", facts)
        write_atomically(self.path / "steps.csv", csv_text(_STEP_COLUMNS, ()))
        # Last, because a folder with a recipe can be resumed.
        write_atomically(self.path / "recipe.toml", to_toml(recipe))

    def check_faces(self, sha256: str) -> None:
        """Compare the hash of a table with that of the faces that the run began with.

        Raises:
            ResumeError: they are different faces.
        """
        begun = json.loads((self.path / "run.json").read_text(encoding="utf-8"))["data"]
        if begun["sha256"] != sha256:
            raise ResumeError(
                f"{self.path} was trained on different faces ({begun['source']}, hash "
                f"{begun['sha256'][:12]}; these have {sha256[:12]}). Give the same --data and --votes, or "
                "start a new run."
            )

    def resume(self, facts: dict[str, Any], step: int, history: list[Epoch]) -> list[str]:
        """Cut the files back to the checkpoint, and record that the run is resumed from `step`.

        Returns the versions that changed, in words; results may then differ in the last bits.
        """
        for torn in self.path.glob(".*.tmp*"):  # of a process that was killed while it wrote
            torn.unlink()
        self._cut_steps(step)
        if history:
            self._write_metrics(history)
        begun = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        begun.setdefault("resumed", []).append(
            {key: facts[key] for key in ("started", "versions", "hardware", "commit")} | {"step": step}
        )
        begun["options"] = facts["options"] or begun.get("options", {})
        self._write_json("run.json", begun)
        before, now = begun["versions"], facts["versions"]
        return [f"{name} {before[name]}, now {now[name]}" for name in before if now.get(name) != before[name]]

    def record_epoch(self, history: list[Epoch]) -> None:
        """Write metrics.csv from the whole history, and the last epoch to TensorBoard."""
        self._write_metrics(history)
        self._to_tensorboard(history[-1])

    def record_steps(self, rows: list[Step]) -> None:
        """Append rows to steps.csv."""
        with (self.path / "steps.csv").open("a", encoding="utf-8") as file:
            file.writelines(
                f"{row.step},{row.lr:.9g},{row.loss:.9g},{row.gradient_norm:.6g},{row.seconds:.4g}\n"
                for row in rows
            )

    def finish(self, result: dict[str, Any]) -> None:
        """Write summary.json, and its `summary` as the one line of summary.txt."""
        self._write_json("summary.json", result)
        write_atomically(self.path / "summary.txt", result["summary"] + "\n")

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def _write_metrics(self, history: list[Epoch]) -> None:
        columns = [entry.name for entry in fields(Epoch)]
        write_atomically(self.path / "metrics.csv", csv_text(columns, map(asdict, history)))

    def _cut_steps(self, step: int) -> None:
        """Drop the rows of steps.csv from `step` on: a resumed run computes them again."""
        path = self.path / "steps.csv"
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [row for row in rows if row.endswith("\n") and int(row.split(",")[0]) < step]
        write_atomically(path, "".join([header, *kept]))

    def _to_tensorboard(self, row: Epoch) -> None:
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=row.epoch)
        for name, value in asdict(row).items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, row.epoch)
        self._board.flush()

    def _write_json(self, name: str, facts: dict[str, Any]) -> None:
        write_atomically(self.path / name, json.dumps(facts, indent=2) + "\n")
