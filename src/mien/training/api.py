"""From what a user says to a training run: the data, the recipe, the device, the folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from mien.data import load
from mien.data.folders.labels import NO_MAP, label_map, label_maps
from mien.data.table import FaceTable
from mien.errors import ResumeError, TrainError, UsageError
from mien.runs.curves import draw_run
from mien.runs.preview import PREVIEW, Preview, write_preview
from mien.runs.recipe import Recipe, load_recipe
from mien.training.checkpoint import LAST
from mien.training.data.loader import BatchLoader
from mien.training.distributed import World, world_of
from mien.training.preview import preview_of
from mien.training.process import Interrupt, settings_restored
from mien.training.reporter import OnlyNotes, Reporter
from mien.training.trainer import Trainer, TrainResult


@dataclass(frozen=True)
class TrainOptions:
    """What a run is started with beside its recipe; kept in run.json, so that it can be resumed."""

    data: str = ""
    votes: str | None = None
    device: str = "auto"
    threads: int | None = None
    label_map: str | None = None

    def faces(self, size: int) -> FaceTable:
        """The faces that are asked for, pictures at that side."""
        mapping = label_map(self.label_map) if self.label_map else NO_MAP
        return load(self.data, votes=Path(self.votes) if self.votes else None, size=size, mapping=mapping)


def start(
    *,
    data: str,
    recipe: str | Path = "quick",
    changes: tuple[str, ...] = (),
    votes: str | Path | None = None,
    label_map: str | Path | None = None,
    out: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    reporter: Reporter,
) -> TrainResult:
    """Train as options; how it ended.

    Raises:
        RecipeError: the recipe or a change to it cannot be used.
        UsageError: the device is not there, or the folder holds a run already.
        DataError: the faces cannot be read, or lack a split.
        TrainError: the run diverged, ran out of memory, or was interrupted (and saved).
    """
    plan = load_recipe(recipe, changes)
    folder = out or Path("runs") / f"{plan.name}-{datetime.now():%Y%m%d-%H%M%S}"
    if (folder / LAST).exists() or (folder / "recipe.toml").exists():
        raise UsageError(
            f"{folder} holds a run already. Go on with it by --resume {folder}, or give another --out."
        )
    # The number of threads decides in which order numbers are added, and so their last bits.
    threads = threads or torch.get_num_threads()
    options = TrainOptions(
        lasting(data),
        lasting(votes) if votes else None,
        device,
        threads,
        lasting_map(label_map),
    )
    return _go(plan, options, folder, reporter, resume=False)


def has_folds(recipe: str | Path, changes: tuple[str, ...]) -> bool:
    """Whether a recipe asks for folds.

    Raises:
        RecipeError: the recipe or a change to it cannot be used.
    """
    return load_recipe(recipe, changes).data.folds > 0


def preview(
    *,
    data: str,
    recipe: str | Path,
    changes: tuple[str, ...] = (),
    votes: str | Path | None = None,
    label_map: str | Path | None = None,
    reporter: Reporter,
) -> Preview:
    """Faces as a run would get them, before and after augmentation; nothing is trained or written.

    Raises:
        RecipeError: the recipe or a change to it cannot be used.
        DataError: the faces cannot be read, or lack a split.
    """
    plan = load_recipe(recipe, changes)
    options = TrainOptions(
        data, str(votes) if votes else None, label_map=str(label_map) if label_map else None
    )
    faces = options.faces(plan.data.face_size)
    loader = BatchLoader(plan, faces, device=torch.device("cpu"), world=World(), note=reporter.note)
    return preview_of(loader)


def resume(
    folder: Path,
    *,
    data: str | None = None,
    votes: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    reporter: Reporter,
) -> TrainResult:
    """Go on with a run, with the data, device and threads that it began with where none are given.

    Raises:
        ResumeError: the folder holds no run, a cut checkpoint, or one of other data.
    """
    if not (folder / "recipe.toml").is_file():
        raise ResumeError(
            f"{folder} holds no run to go on with. Give the folder of a run, such as runs/NAME."
        )
    plan = load_recipe(folder / "recipe.toml")
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    begun = TrainOptions(**facts.get("options", {}))
    options = TrainOptions(
        lasting(data) if data else begun.data,
        lasting(votes) if votes else begun.votes,
        device or begun.device,
        threads or begun.threads,
        begun.label_map,
    )
    if not options.data:
        raise ResumeError(
            f"{folder} does not say what it was trained on. Give --data, and --votes if it had any."
        )
    return _go(plan, options, folder, reporter, resume=True)


@settings_restored()
def _go(
    plan: Recipe, options: TrainOptions, folder: Path, reporter: Reporter, *, resume: bool
) -> TrainResult:
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # denormal numbers slow a CPU down many times
    name = choose_device(options.device)
    with world_of(name) as world:
        place = torch.device(f"cuda:{world.local_rank}" if name == "cuda" else name)
        if place.type == "cuda":
            torch.backends.cudnn.benchmark = True  # every batch has the same shape
        faces = options.faces(plan.data.face_size)
        if faces.problems and world.is_first:
            first = faces.problems[0]
            reporter.note(
                f"{len(faces.problems)} faces of {faces.source} were refused, the first at {first.where}: "
                f"{first.reason}. mien data info lists them."
            )
        return run(
            plan,
            faces,
            folder,
            device=place,
            world=world,
            reporter=reporter,
            resume=resume,
            options=asdict(options),
        )


def run(
    plan: Recipe,
    faces: FaceTable,
    folder: Path,
    *,
    device: torch.device,
    world: World,
    reporter: Reporter,
    resume: bool = False,
    options: dict[str, Any] | None = None,
) -> TrainResult:
    """One run of a recipe on a table, saved in a folder, with its figures.

    Raises:
        TrainError: the run diverged, ran out of memory, or was interrupted (and saved).
    """
    if not world.is_first:
        reporter = OnlyNotes(reporter, world.rank)
    trainer = Trainer(
        plan, faces, folder, device=device, world=world, reporter=reporter, resume=resume, options=options
    )
    if world.is_first and not resume:
        write_preview(preview_of(trainer.loader), folder / PREVIEW)
    with Interrupt() as interrupt:
        result = trainer.run(interrupt)
    result = replace(result, summary=sum_up(plan, result, trainer.loader.validation_faces, folder))
    if world.is_first and result.is_whole:
        trainer.folder.finish(asdict(result))
    if world.is_first and result.epochs:
        draw_run(folder)
    if not result.is_whole:
        raise TrainError(f"interrupted, and saved. Go on with: mien train --resume {folder}")
    reporter.done(result.summary)
    return result


def sum_up(plan: Recipe, result: TrainResult, validation_faces: int, folder: Path) -> str:
    """A run in one line: its best accuracy with split, faces and seed, how it ended, how long it took."""
    best = result.best
    score = (
        f"{best.validation_accuracy:.2%} on {plan.data.validation_name} "
        f"(n = {validation_faces}, seed {plan.loop.seed}, epoch {best.epoch} of {result.epochs})"
        if best
        else "no epoch finished"
    )
    return f"{plan.name}: {score}; {result.ended} in {result.seconds / 60:.1f} min; {folder}"


def choose_device(device: str) -> str:
    """The device of a name; ``auto`` is a GPU where there is one.

    Raises:
        UsageError: torch cannot reach the device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {device!r} cannot be used here: {error}. Use --device cpu.") from error
    return device


def lasting_map(name: str | Path | None) -> str | None:
    """A label map that still holds then; the name of one that ships stays, also beside a folder so named."""
    if name is None:
        return None
    return str(name) if str(name).lower() in label_maps() else lasting(name)


def lasting(path: str | Path) -> str:
    """A path that still holds when the run is resumed from another folder; 'synthetic' stays itself."""
    return str(Path(path).resolve() if Path(path).exists() else path)
