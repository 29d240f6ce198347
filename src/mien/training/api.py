"""Train a recipe on labelled faces, resume a run, or preview its augmented faces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from mien.data import load
from mien.data.folders.labels import NO_MAP, label_map, label_maps
from mien.data.table import Arrays, FaceTable
from mien.errors import Interrupted, ResumeError, UsageError
from mien.files import expanded, kind_of_path
from mien.runs.figures import draw_run
from mien.runs.history import Epoch
from mien.runs.preview import PREVIEW, Preview, write_preview
from mien.runs.recipe import Recipe, load_recipe
from mien.training.checkpoint import LAST
from mien.training.data.extensions import Extensions, OwnAugmentation, OwnLoss
from mien.training.data.loader import NO_EXTENSIONS, BatchLoader
from mien.training.data.preview import preview_of
from mien.training.data.splits import with_splits_of
from mien.training.distributed import World, world_of
from mien.training.process import Interrupt, settings_restored
from mien.training.reporter import LogReporter, OnlyNotes, Progress, Reporter, WithCallbacks
from mien.training.result import TrainResult
from mien.training.run_folder import locked
from mien.training.trackers import tracked, trackers_of
from mien.training.trainer import Trainer


@dataclass(frozen=True)
class TrainOptions:
    """What a run was started with besides its recipe; kept in run.json, so that it can be resumed.

    `data` is empty where the run was given a table instead of a path. `extensions` names the caller's own
    loss and augmentation, `track` the trackers that get its figures.
    """

    data: str = ""
    votes: str | None = None
    device: str = "auto"
    threads: int | None = None
    label_map: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    track: Sequence[str] = ()

    def faces(self, size: int) -> FaceTable:
        """The faces, their images read at that side."""
        mapping = label_map(self.label_map) if self.label_map else NO_MAP
        return load(self.data, votes=Path(self.votes) if self.votes else None, size=size, mapping=mapping)


def train(
    recipe: Recipe | str | Path = "quick",
    *,
    data: FaceTable | Arrays | str | Path,
    votes: str | Path | None = None,
    label_map: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    reporter: Reporter | None = None,
    on_step: Callable[[Progress], object] | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
    loss: OwnLoss | None = None,
    augment: OwnAugmentation | None = None,
    track: str | Sequence[str] = (),
    **changes: Any,
) -> TrainResult:
    """Train a network by a recipe and save the run in a folder.

        >>> run = mien.train("lite0", data="fer2013.csv", out="runs/a", **{"schedule.epochs": 2})

    Args:
        recipe: a shipped name (`mien train --list`), a TOML file, or a `Recipe`.
        data: FER2013, a folder with one folder of images per class, a CSV of paths and labels,
            ``"synthetic"``, a table, or arrays: ``(pixels, labels)`` or ``(pixels, labels, splits)`` as
            `FaceTable.from_arrays` takes them.
        votes: FER+'s fer2013new.csv, to train the head of votes too; only with a path as `data`.
        label_map: the emotions of folders that are not named after them: ``"raf-db"``, ``"affectnet"``,
            ``"ck+"``, or a CSV with ``folder,emotion``; only with a path as `data`.
        out: the run's folder; runs/RECIPE-TIME if None.
        device: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        threads: CPU threads; torch's default if None.
        reporter: receives progress, notes and the summary; if None they go to the log ``mien.training``.
        on_step: called with a `Progress` (epoch, step, loss, accuracy, faces per second, time left), twice a
            second at most; steps.csv has every step.
        on_epoch: called with an `Epoch`, the row of metrics.csv, after each epoch.
        loss: the loss of the labels' head instead of the recipe's: takes logits (N, C) and targets (N, C),
            distributions, and returns the loss of each face, (N,).
        augment: applied to each batch after the recipe's augmentation: takes faces, float (N, 1, S, S) in
            0..1, and a `torch.Generator` on their device, and returns faces of the same shape. All its
            randomness must come from the generator, so that a resumed run repeats it.
        track: ``"wandb"``, ``"mlflow"`` or both: they get the recipe and the figures of each epoch.
        changes: other values of the recipe by key; the section may be left out where only one has the key.

    Raises:
        RecipeError: the recipe, or a change to it, cannot be used.
        UsageError: the device is not available, the folder already has a run, or an option does not apply; or
            `loss` or `augment` returned another shape.
        DataError: the faces cannot be read, or lack a split.
        TrainError: the run diverged, ran out of memory, or was interrupted (and saved).
    """
    plan = resolve(recipe, changes)
    folder = expanded(out) if out else default_folder(plan.name)
    if any(kind_of_path(folder / name, UsageError) != "nothing" for name in (LAST, "recipe.toml")):
        raise UsageError(
            f"{folder} already has a run. Resume it with --resume {folder}, or give another --out."
        )
    own = Extensions(loss, augment)
    table = FaceTable.from_arrays(*data) if isinstance(data, tuple) else data
    options, faces = read_options(table, votes, label_map, device, threads)
    options = replace(options, extensions=own.names, track=trackers_of(track))
    return go(plan, options, folder, _called(reporter, on_step, on_epoch), faces=faces, extensions=own)


def resume(
    folder: str | Path,
    *,
    data: FaceTable | str | Path | None = None,
    votes: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    reporter: Reporter | None = None,
    on_step: Callable[[Progress], object] | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
    loss: OwnLoss | None = None,
    augment: OwnAugmentation | None = None,
) -> TrainResult:
    """Go on with a run; data, device and threads are those that it began with where none are given.

    Raises:
        ResumeError: the folder has no run, a damaged checkpoint, or a run of other data; or the run began
            with another `loss` or `augment` than is given.
    """
    folder = expanded(folder)
    if kind_of_path(folder / "recipe.toml", ResumeError) != "file":
        raise ResumeError(f"{folder} has no run to resume. Give the folder of a run, such as runs/NAME.")
    plan = load_recipe(folder / "recipe.toml")
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    mapping: str | None = None
    begun = TrainOptions(**facts.get("options", {}))
    if data is None and not begun.data:
        raise ResumeError(
            f"{folder}: run.json does not name the data of the run. Give --data, and --votes if it had any."
        )
    own = Extensions(loss, augment)
    if own.names != begun.extensions:
        raise ResumeError(
            f"{folder} began with {_listed(begun.extensions)}, not with {_listed(own.names)}. Give the same "
            "functions to mien.training.api.resume(RUN, loss=..., augment=...)."
        )
    if not isinstance(data, FaceTable):
        data, votes, mapping = data or begun.data, votes or begun.votes, begun.label_map
    options, faces = read_options(data, votes, mapping, device or begun.device, threads or begun.threads)
    options = replace(options, extensions=own.names, track=begun.track)
    reporter = _called(reporter, on_step, on_epoch)
    return go(plan, options, folder, reporter, faces=faces, resume=True, extensions=own)


def _listed(extensions: Mapping[str, str]) -> str:
    return " and ".join(f"{name}={each}" for name, each in extensions.items()) or "no loss or augment"


def _called(
    reporter: Reporter | None,
    on_step: Callable[[Progress], object] | None,
    on_epoch: Callable[[Epoch], object] | None,
) -> Reporter | None:
    """The reporter with the caller's callbacks behind it."""
    if on_step is None and on_epoch is None:
        return reporter
    return WithCallbacks(reporter or LogReporter(), on_step, on_epoch)


def preview(
    recipe: Recipe | str | Path = "quick",
    *,
    data: FaceTable | str | Path,
    votes: str | Path | None = None,
    label_map: str | Path | None = None,
    reporter: Reporter | None = None,
    **changes: Any,
) -> Preview:
    """The first augmented faces of a run, beside the faces in the data; nothing is trained or written.

    Raises:
        RecipeError: the recipe, or a change to it, cannot be used.
        DataError: the faces cannot be read, or lack a split.
    """
    plan = resolve(recipe, changes)
    options, faces = read_options(data, votes, label_map, "cpu", None)
    table = faces if faces is not None else options.faces(plan.data.face_size)
    plan = with_splits_of(table, plan)
    note = (reporter or LogReporter()).note
    return preview_of(BatchLoader(plan, table, device=torch.device("cpu"), world=World(), note=note))


def resolve(recipe: Recipe | str | Path, changes: Mapping[str, Any]) -> Recipe:
    """The recipe of a name, a file or itself, with other values by key."""
    return recipe.changed(changes) if isinstance(recipe, Recipe) else load_recipe(recipe, changes)


def default_folder(name: str) -> Path:
    """A folder in runs/ with the present time in its name."""
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def read_options(
    data: FaceTable | str | Path,
    votes: str | Path | None,
    mapping: str | Path | None,
    device: str,
    threads: int | None,
) -> tuple[TrainOptions, FaceTable | None]:
    """The options of a run, their paths absolute, and its table where one was given instead of a path.

    Raises:
        UsageError: votes or a label map beside a table.
    """
    # The number of threads decides in which order numbers are added, and so their last bits.
    threads = threads or torch.get_num_threads()
    if isinstance(data, FaceTable):
        if votes or mapping:
            raise UsageError(
                "votes and label_map belong to a path. A table has its votes and labels already: "
                "mien.load(PATH, votes=..., mapping=...) reads them."
            )
        return TrainOptions(device=device, threads=threads), data
    if mapping and str(mapping).lower() not in label_maps():  # a shipped one, though a folder has its name
        mapping = _absolute(mapping)
    options = TrainOptions(
        data=_absolute(data),
        votes=_absolute(votes) if votes else None,
        device=device,
        threads=threads,
        label_map=str(mapping) if mapping else None,
    )
    return options, None


@settings_restored()
def go(
    plan: Recipe,
    options: TrainOptions,
    folder: Path,
    reporter: Reporter | None,
    *,
    faces: FaceTable | None = None,
    resume: bool = False,
    extensions: Extensions = NO_EXTENSIONS,
) -> TrainResult:
    """Set up device, threads and processes, read the faces where no table is given, and train."""
    reporter = reporter or LogReporter()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # denormal numbers slow a CPU down many times
    name = choose_device(options.device)
    with world_of(name) as world:
        device = torch.device(f"cuda:{world.local_rank}" if name == "cuda" else name)
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # every batch has the same shape
        table = options.faces(plan.data.face_size) if faces is None else faces
        plan = with_splits_of(table, plan)
        if table.problems and world.is_first:
            first = table.problems[0]
            reporter.note(
                f"{table.refused:,} faces of {table.source} were refused; {len(table.problems):,} problems, "
                f"the first at {first.where}: {first.reason}. mien data info lists them."
            )
        return run(
            plan,
            table,
            folder,
            device=device,
            world=world,
            reporter=reporter,
            resume=resume,
            options=asdict(options),
            extensions=extensions,
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
    extensions: Extensions = NO_EXTENSIONS,
) -> TrainResult:
    """Train a recipe on a table in this process, and save the run with its figures.

    Raises:
        TrainError: the run diverged, ran out of memory, or was interrupted (and saved).
    """
    if not world.is_first:
        reporter = OnlyNotes(reporter, world.rank)
    trackers = (options or {}).get("track", ()) if world.is_first else ()
    with (
        locked(folder) if world.is_first else nullcontext(),
        tracked(trackers, folder, plan, reporter) as reporter,
    ):
        trainer = Trainer(
            plan,
            faces,
            folder,
            device=device,
            world=world,
            reporter=reporter,
            resume=resume,
            options=options,
            extensions=extensions,
        )
        if world.is_first and not resume:
            write_preview(preview_of(trainer.loader), folder / PREVIEW)
        with Interrupt() as interrupt:
            result = trainer.run(interrupt)
        if world.is_first and result.is_finished:
            trainer.folder.finish(result.to_dict())
        if world.is_first and result.epochs:
            result = replace(result, figures=tuple(draw_run(folder)))
        if not result.is_finished:
            raise Interrupted(
                f"interrupted, and saved. Resume with: mien train --resume {folder}", interrupt.signal
            )
    reporter.done(result.summary)
    return result


def choose_device(device: str) -> str:
    """The device of a name; ``auto`` is a GPU if there is one.

    Raises:
        UsageError: torch cannot use the device.
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


def _absolute(path: str | Path) -> str:
    """A path that is still valid when the run is resumed from another folder; 'synthetic' stays itself."""
    full = expanded(path)
    return str(full.resolve() if kind_of_path(full, UsageError) != "nothing" else path)
