"""How a training run ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mien.runs.history import Epoch, best_of
from mien.runs.recipe import Recipe


@dataclass(frozen=True, repr=False)
class TrainResult:
    """A training run that ended; its folder is used wherever a path is expected.

    Attributes:
        folder: the run's folder, which `mien.load_model` takes.
        recipe: as resolved.
        history: what each finished epoch measured, one row per epoch.
        ended: ``"complete"``, ``"stopped early"`` (by `schedule.patience`) or ``"interrupted"``.
        seconds: of training, over all resumed parts.
        validation_faces: number of faces that the best epoch was chosen on.
        figures: image files with the curves of the run.
    """

    folder: Path
    recipe: Recipe
    history: tuple[Epoch, ...]
    ended: str
    seconds: float
    validation_faces: int
    figures: tuple[Path, ...] = ()

    @property
    def best(self) -> Epoch | None:
        """The best epoch, whose weights are kept; None if no epoch finished."""
        return best_of(self.history)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to resume."""
        return self.ended != "interrupted"

    @property
    def summary(self) -> str:
        """One line: best accuracy with split, number of faces, seed and epoch; how it ended; time; folder."""
        best, data = self.best, self.recipe.data
        score = (
            f"{best.validation_accuracy:.2%} on {data.validation_name} (n = {self.validation_faces}, "
            f"seed {self.recipe.loop.seed}, epoch {best.epoch} of {self.epochs})"
            if best
            else "no epoch finished"
        )
        return f"{self.recipe.name}: {score}; {self.ended} in {self.seconds / 60:.1f} min; {self.folder}"

    def to_dict(self) -> dict[str, Any]:
        """The content of summary.json."""
        best = asdict(self.best) if self.best else None
        return {
            "best": best,
            "epochs": self.epochs,
            "ended": self.ended,
            "seconds": self.seconds,
            "summary": self.summary,
        }

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"<TrainResult {self.summary}>"
