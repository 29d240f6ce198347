"""A run from first step to last: what it leaves behind, when it ends, and that it resumes to the bit."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mien
from mien.data.table import FaceTable
from mien.emotions import FER2013
from mien.errors import Diverged, ResumeError, TrainError
from mien.files import write_atomically
from mien.runs.history import Epoch
from mien.runs.recipe import Recipe, load_recipe
from mien.training import api
from mien.training import trainer as loop
from mien.training.checkpoint import BEST, LAST, read_checkpoint
from mien.training.distributed import World
from mien.training.network.model import build_network
from mien.training.process import Interrupt
from mien.training.result import TrainResult
from mien.training.trainer import Trainer

Train = Callable[..., tuple[TrainResult, Trainer]]
Make = Callable[..., Recipe]
Whole = Callable[[Recipe], Path]
CPU = torch.device("cpu")

# What differs between two runs of the same numbers: the time that they took.
TIMES = ("seconds", "images_per_s")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def assert_same_run(a: Path, b: Path) -> None:
    """Losses of every epoch and step, and all weights, equal to the last bit."""
    assert rows(a / "metrics.csv") == rows(b / "metrics.csv")
    assert rows(a / "steps.csv") == rows(b / "steps.csv")
    for name in (LAST, BEST):
        ours, theirs = read_checkpoint(a / name).tensors, read_checkpoint(b / name).tensors
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


@pytest.fixture
def run(few_faces: FaceTable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainResult]:
    """`api.run` on the few faces, its pictures left out: they take longer than the training."""

    def go(recipe: Recipe, folder: Path, reporter: Any, *, resume: bool = False) -> TrainResult:
        monkeypatch.setattr(api, "draw_run", lambda folder: [])
        return api.run(recipe, few_faces, folder, device=CPU, world=World(), reporter=reporter, resume=resume)

    return go


# ---- what a run leaves behind ----------------------------------------------------------------------


def test_a_run_folder_is_complete(tiny: Make, tmp_path: Path, recorder: Any, few_faces: FaceTable) -> None:
    recipe = tiny()
    result = api.run(recipe, few_faces, tmp_path, device=CPU, world=World(), reporter=recorder)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "recipe.toml",
        "run.json",
        "metrics.csv",
        "steps.csv",
        "tensorboard",
        "training.png",
        "training.svg",
        "training.pdf",
        "batches.png",
        BEST,
        LAST,
        "summary.json",
        "summary.txt",
    }
    assert load_recipe(tmp_path / "recipe.toml") == recipe
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["versions"]["mien"] == mien.__version__
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["seed"] == recipe.loop.seed
    assert facts["data"]["sha256"] == few_faces.sha256
    assert facts["data"]["splits"] == {"Training": 32, "PublicTest": 12, "PrivateTest": 6}
    assert facts["hardware"]["cores"] == os.cpu_count()
    assert facts["hardware"]["threads"] == 1
    assert {"device", "processor", "processes", "system"} <= facts["hardware"].keys()
    assert "commit" in facts
    assert (facts["training_faces"], facts["validation_faces"]) == (32, 12)
    assert json.loads((tmp_path / "summary.json").read_text())["ended"] == "complete"
    line = (tmp_path / "summary.txt").read_text()
    assert line == result.summary + "\n"
    assert recorder.summaries == [result.summary]
    assert "PublicTest (n = 12, seed 0, epoch" in line


def test_every_file_and_column_is_documented(whole: Whole, tiny: Make) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    for path in whole(tiny()).iterdir():
        assert f"`{path.name}" in page, path.name
    for table in ("metrics.csv", "steps.csv"):
        header = (whole(tiny()) / table).read_text().splitlines()[0]
        assert header.replace(",", ", ") in page


def test_the_tables_hold_every_epoch_and_step(
    train: Train, tiny: Make, tmp_path: Path, recorder: Any
) -> None:
    _, trainer = train(tiny(), tmp_path, recorder)
    epochs = rows(tmp_path / "metrics.csv")
    assert [row["epoch"] for row in epochs] == ["1", "2"]
    assert list(epochs[0]) == [name for name in Epoch.__dataclass_fields__ if name not in TIMES]
    steps = rows(tmp_path / "steps.csv")
    assert [row["step"] for row in steps] == [str(step) for step in range(2 * trainer.steps)]
    means = [np.mean([float(row["loss"]) for row in steps[e * 4 : e * 4 + 4]]) for e in range(2)]
    assert [float(row["objective"]) for row in epochs] == pytest.approx(means, rel=1e-6)
    norms = [np.mean([float(row["gradient_norm"]) for row in steps[e * 4 : e * 4 + 4]]) for e in range(2)]
    assert [float(row["gradient_norm"]) for row in epochs] == pytest.approx(norms, rel=1e-4)
    for row in trainer.history:
        assert row.gap == row.validation_loss - row.train_loss
    assert recorder.epochs == trainer.history


def test_tensorboard_holds_the_epochs(train: Train, tiny: Make, tmp_path: Path) -> None:
    _, trainer = train(tiny(), tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    events = board.Scalars("validation_loss")
    assert [event.step for event in events] == [1, 2]
    assert [event.value for event in events] == pytest.approx(
        [row.validation_loss for row in trainer.history]
    )


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_best_checkpoint_scores_on_validation_what_the_table_says(
    whole: Whole, tiny: Make, few_faces: FaceTable, ema: float
) -> None:
    """Plain names, so that anything that reads safetensors can use it; its facts stand in the header."""
    recipe = tiny(optimizer={"ema": ema})
    folder = whole(recipe)
    checkpoint = read_checkpoint(folder / BEST)
    marked = [row["epoch"] for row in rows(folder / "metrics.csv") if row["best"] == "True"]
    assert str(checkpoint.facts["epoch"]["epoch"]) == marked[-1]
    assert checkpoint.facts["heads"] == ["fer2013", "votes"]
    assert checkpoint.facts["ema"] == bool(ema)
    network = build_network(recipe.network, ("fer2013", "votes"), seed=0, pretrained=False)
    network.load_state_dict(checkpoint.tensors)
    network.eval()
    part = few_faces.split("PublicTest")
    with torch.no_grad():
        logits = network(torch.tensor(part.pixels)[:, None].float() / 255)["fer2013"]
    labels = torch.tensor(part.labels)
    row = checkpoint.facts["epoch"]
    assert (logits.argmax(1) == labels).float().mean().item() == pytest.approx(row["validation_accuracy"])
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(row["validation_loss"], rel=1e-4)


def test_the_size_grows_as_the_recipe_says(train: Train, tiny: Make, tmp_path: Path) -> None:
    _, trainer = train(tiny(schedule={"sizes": [[0, 32], [1, 48]]}), tmp_path)
    assert [row.size for row in trainer.history] == [32, 48]


def test_the_head_of_labels_alone_trains_where_there_are_no_votes(
    train: Train, tiny: Make, tmp_path: Path, few_faces: FaceTable
) -> None:
    _, trainer = train(tiny(schedule={"epochs": 1}), tmp_path, faces=replace(few_faces, votes=None))
    assert trainer.history[0].votes_loss is None
    assert read_checkpoint(tmp_path / BEST).facts["heads"] == ["fer2013"]


def test_training_learns(train: Train, tiny: Make, tmp_path: Path, few_faces: FaceTable) -> None:
    """Bright faces are happy and dark ones sad: in a few epochs most are named right."""
    bright = np.arange(len(few_faces)) % 2
    pixels = np.where(bright, 215, 40).astype(np.uint8)[:, None, None].repeat(48, 1).repeat(48, 2)
    labels = np.where(bright, FER2013.index("happy"), FER2013.index("sad"))
    recipe = tiny(
        data={"votes": False},
        augment=dict.fromkeys(("translate", "erase", "mixup", "cutmix", "autocontrast"), 0.0),
        optimizer={"lr": 5e-3, "ema": 0.0},
        schedule={"epochs": 8},
        network={"drop_path": 0.0, "drop_rate": 0.0},
    )
    _, trainer = train(recipe, tmp_path, faces=replace(few_faces, pixels=pixels, labels=labels))
    first, *others = trainer.history
    assert min(row.train_loss for row in others) < first.train_loss / 2
    assert max(row.train_accuracy for row in others) > 0.85


def test_progress_is_told_to_the_last_step(train: Train, tiny: Make, tmp_path: Path, recorder: Any) -> None:
    train(tiny(), tmp_path, recorder)
    last = recorder.steps[-1]
    assert (last.epoch, last.epochs, last.step, last.steps) == (2, 2, 4, 4)
    assert last.images_per_s > 0
    assert 0 < last.accuracy < 1
    assert last.loss > 0
    left = [progress.seconds_left for progress in recorder.steps]
    assert left[-1] < left[0]


# ---- how a run ends ------------------------------------------------------------------------------


def test_it_stops_early_when_patience_ends(
    run: Callable[..., TrainResult], tiny: Make, tmp_path: Path, recorder: Any
) -> None:
    recipe = tiny(
        optimizer={"lr": 0.0, "ema": 0.0, "weight_decay": 0.0}, schedule={"epochs": 9, "patience": 2}
    )
    recipe = replace(recipe, network=replace(recipe.network, batch_norm_momentum=0.0))
    result = run(recipe, tmp_path, recorder)
    # Nothing moves, so no epoch is better than the first.
    assert (result.ended, result.epochs, result.best.epoch) == ("stopped early", 3, 1)  # type: ignore[union-attr]
    assert "stopped early" in (tmp_path / "summary.txt").read_text()


def test_it_warns_of_overfitting(
    train: Train, tiny: Make, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([(1.0, 0.5), (1.1, 0.5), (1.2, 0.4), (1.3, 0.5), (1.4, 0.5)])
    monkeypatch.setattr(loop, "scores_of", lambda totals: loop.ValidationScores(*next(scores), None))
    train(tiny(schedule={"epochs": 5}), tmp_path, recorder)
    warnings = [note for note in recorder.notes if note.startswith("Overfitting")]
    assert len(warnings) == 1
    assert "1.000 to 1.300" in warnings[0]


def test_a_loss_that_is_no_number_ends_the_run_and_no_checkpoint_holds_it(
    train: Train, tiny: Make, tmp_path: Path
) -> None:
    recipe = tiny(
        optimizer={"name": "sgd", "lr": 100.0, "clip_norm": 0.0},
        schedule={"epochs": 9},
        loop={"save_every_s": 0.0},
    )
    with pytest.raises(Diverged, match=r"the loss is|no longer finite.*Lower optimizer\.lr"):
        train(recipe, tmp_path)
    if (tmp_path / LAST).exists():
        saved = read_checkpoint(tmp_path / LAST).tensors
        assert all(torch.isfinite(value).all() for key, value in saved.items() if key.startswith("network/"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_first_and_the_run_resumes_to_the_bit(
    run: Callable[..., TrainResult], whole: Whole, tiny: Make, tmp_path: Path, recorder: Any, number: int
) -> None:
    class Signalling:
        """A reporter that sends the signal when the first epoch is told, so in the midst of the run."""

        def __getattr__(self, name: str) -> Any:
            return getattr(recorder, name)

        def epoch(self, row: Epoch, epochs: int) -> None:
            if row.epoch == 1:
                signal.raise_signal(number)

    before = signal.getsignal(number)
    with pytest.raises(TrainError, match=r"interrupted, and saved\. Resume with: mien train --resume"):
        run(tiny(), tmp_path / "cut", Signalling())
    assert signal.getsignal(number) is before
    saved = read_checkpoint(tmp_path / "cut" / LAST).facts
    assert (saved["epoch"], saved["step"]) == (1, 1)
    assert not (tmp_path / "cut" / "summary.json").exists()
    run(tiny(), tmp_path / "cut", recorder, resume=True)
    assert_same_run(tmp_path / "cut", whole(tiny()))


def test_a_second_signal_acts_as_it_always_did() -> None:
    # Tests that were begun in the background are deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert interrupt.wanted
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


# ---- going on --------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def killed_at(trainer: Trainer, updates: int) -> None:
    """Let the trainer die after update number `updates` (from 0): weights have moved, nothing is saved."""
    add = trainer.log.add
    count = 0

    def dying(*args: Any) -> None:
        nonlocal count
        count += 1
        if count > updates:
            raise Killed
        add(*args)

    trainer.log.add = dying  # type: ignore[method-assign]


@pytest.fixture
def kill_and_resume(
    few_faces: FaceTable, tmp_path: Path, train: Train, whole: Whole, recorder: Any
) -> Callable[[Recipe, int], None]:
    """Trains a recipe with a death after an update, resumes it, and holds it against the undisturbed run."""

    def check(recipe: Recipe, updates: int) -> None:
        trainer = Trainer(recipe, few_faces, tmp_path / "cut", device=CPU, world=World(), reporter=recorder)
        killed_at(trainer, updates)
        with pytest.raises(Killed):
            trainer.run(Interrupt())
        train(recipe, tmp_path / "cut", resume=True)
        assert_same_run(tmp_path / "cut", whole(recipe))

    return check


@pytest.mark.parametrize("updates", [0, 1, 3, 4, 6])
def test_killed_in_any_step_it_goes_on_to_the_bit(
    kill_and_resume: Callable[[Recipe, int], None], tiny: Make, updates: int
) -> None:
    """Four steps an epoch: killed before the first checkpoint, inside both epochs, and at their border."""
    kill_and_resume(tiny(loop={"save_every_s": 0.0}), updates)


def test_killed_without_checkpoints_inside_epochs_it_goes_on_from_the_last_epoch(
    kill_and_resume: Callable[[Recipe, int], None], tiny: Make
) -> None:
    kill_and_resume(tiny(), 6)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "adam", "ema": 0.0}, "schedule": {"name": "onecycle"}},
        {"optimizer": {"name": "sgd", "sam_rho": 0.05}, "schedule": {"sizes": [[0, 32], [1, 48]]}},
        {"optimizer": {"name": "sgd", "momentum": 0.0}, "loop": {"micro_batch": 5}},
    ],
    ids=["adam onecycle", "sgd sam growing", "micro-batches"],
)
def test_every_optimiser_and_schedule_goes_on_to_the_bit(
    kill_and_resume: Callable[[Recipe, int], None], tiny: Make, changes: dict[str, Any]
) -> None:
    changes["loop"] = {"save_every_s": 0.0} | changes.get("loop", {})
    kill_and_resume(tiny(**changes), 5)


@pytest.mark.parametrize("victim", [LAST, BEST, "metrics.csv"])
def test_killed_while_it_writes_a_file_it_goes_on_to_the_bit(
    train: Train, whole: Whole, tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """Half of the file reaches the disk, under another name."""
    recipe = tiny(loop={"save_every_s": 0.0})
    times = 0

    def torn(path: Path, content: bytes | str) -> None:
        nonlocal times
        times += path.name == victim
        if times == (1 if victim == BEST else 2):
            raw = content.encode() if isinstance(content, str) else content
            path.with_name(f".{path.stem}.1.tmp{path.suffix}").write_bytes(raw[: len(raw) // 2])
            raise Killed
        write_atomically(path, content)

    for module in ("checkpoint", "run_folder"):
        monkeypatch.setattr(f"mien.training.{module}.write_atomically", torn)
    with pytest.raises(Killed):
        train(recipe, tmp_path / "cut")
    monkeypatch.undo()
    train(recipe, tmp_path / "cut", resume=True)
    assert_same_run(tmp_path / "cut", whole(recipe))
    assert not list((tmp_path / "cut").glob(".*"))


@pytest.fixture
def finished(whole: Whole, tiny: Make, tmp_path: Path) -> Path:
    """A copy of the small recipe's undisturbed run, to be changed."""
    return Path(shutil.copytree(whole(tiny()), tmp_path / "finished"))


def test_a_finished_run_resumed_ends_at_once_with_the_same_result(
    run: Callable[..., TrainResult], tiny: Make, finished: Path, recorder: Any
) -> None:
    before = rows(finished / "metrics.csv")
    result = run(tiny(), finished, recorder, resume=True)
    assert (result.ended, result.epochs) == ("complete", 2)
    assert rows(finished / "metrics.csv") == before
    assert recorder.epochs == []


def test_a_torn_line_of_steps_is_dropped(train: Train, tiny: Make, finished: Path) -> None:
    before = (finished / "steps.csv").read_text()
    with (finished / "steps.csv").open("a") as file:
        file.write("8,0.00")
    train(tiny(), finished, resume=True)
    assert (finished / "steps.csv").read_text() == before


def test_what_changed_since_the_beginning_is_recorded_and_said(
    train: Train, tiny: Make, finished: Path, recorder: Any
) -> None:
    facts = json.loads((finished / "run.json").read_text())
    facts["versions"]["timm"] = "0.1"
    (finished / "run.json").write_text(json.dumps(facts))
    train(tiny(), finished, recorder, resume=True)
    assert any(note.startswith("The run began with timm 0.1, now 1.") for note in recorder.notes)
    resumed = json.loads((finished / "run.json").read_text())["resumed"]
    assert [entry["step"] for entry in resumed] == [8]


def test_other_faces_are_refused(train: Train, tiny: Make, finished: Path, few_faces: FaceTable) -> None:
    pixels = few_faces.pixels.copy()
    pixels[0, 0, 0] ^= 1
    with pytest.raises(
        ResumeError, match=r"different faces \(few faces, hash [0-9a-f]{12}; these have [0-9a-f]{12}\)"
    ):
        train(tiny(), finished, resume=True, faces=replace(few_faces, pixels=pixels))


def test_other_faces_are_refused_before_the_first_checkpoint_too(
    train: Train, tiny: Make, finished: Path, few_faces: FaceTable
) -> None:
    (finished / LAST).unlink()
    other = replace(few_faces, labels=(few_faces.labels + 1) % 7)
    with pytest.raises(ResumeError, match="different faces"):
        train(tiny(), finished, resume=True, faces=other)


@pytest.mark.parametrize("keep", [0, 7, 1000, -1], ids=["empty", "header cut", "tensors cut", "a byte short"])
def test_a_cut_checkpoint_is_a_clear_error(train: Train, tiny: Make, finished: Path, keep: int) -> None:
    content = (finished / LAST).read_bytes()
    (finished / LAST).write_bytes(content[:keep])
    with pytest.raises(ResumeError, match=r"last\.safetensors is cut short, or is not a checkpoint of mien"):
        train(tiny(), finished, resume=True)


def test_a_checkpoint_of_another_network_is_a_clear_error(train: Train, tiny: Make, finished: Path) -> None:
    other = tiny(network={"backbone": "mnasnet_small"})
    with pytest.raises(ResumeError, match=r"does not fit the run's recipe.*Was recipe\.toml changed"):
        train(other, finished, resume=True)


def test_the_best_checkpoint_is_not_one_to_resume_from(train: Train, tiny: Make, finished: Path) -> None:
    (finished / BEST).replace(finished / LAST)
    with pytest.raises(ResumeError, match="does not fit the run's recipe"):
        train(tiny(), finished, resume=True)


def test_the_same_recipe_and_seed_give_the_same_run_another_seed_another(
    train: Train, whole: Whole, tiny: Make, tmp_path: Path
) -> None:
    train(tiny(), tmp_path)
    assert_same_run(tmp_path, whole(tiny()))
    assert rows(tmp_path / "steps.csv") != rows(whole(tiny(loop={"seed": 1})) / "steps.csv")


def test_a_run_leaves_the_global_generator_alone(train: Train, tiny: Make, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tiny(schedule={"epochs": 1}), tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_new_run_begins_from_another_ones_weights(
    train: Train, whole: Whole, tiny: Make, tmp_path: Path
) -> None:
    first = whole(tiny())
    recipe = tiny(network={"init": str(first)}, optimizer={"lr": 0.0}, schedule={"epochs": 1})
    _, trainer = train(recipe, tmp_path)
    before = read_checkpoint(first / BEST).tensors
    after = dict(trainer.learner.network.named_parameters())
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_before_an_epoch_has_ended_the_run_notes_once_how_long_it_takes(
    train: Train, tiny: Make, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting ten seconds here; a run that takes less than that has no such note."""
    monkeypatch.setattr(loop, "_FORECAST_AFTER_S", 1e9)
    train(tiny(), tmp_path / "short", recorder)
    assert not [note for note in recorder.notes if "the run takes about" in note]
    monkeypatch.setattr(loop, "_FORECAST_AFTER_S", 0.0)
    monkeypatch.setattr(loop, "_REPORT_INTERVAL_S", 0.0)
    _, trainer = train(tiny(), tmp_path / "long", recorder)
    (note,) = (note for note in recorder.notes if "the run takes about" in note)
    assert note.startswith("At this speed the run takes about ")
    assert f": 2 epochs of {trainer.steps} steps of 8 faces." in note
