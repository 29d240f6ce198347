"""A study of several clips: how much `--jobs` gains, and what the tables of a day of video need.

    python benchmarks/study.py                       # four clips, one after the other and two at once
    python benchmarks/study.py --hours 1 24          # the log of a day, and all its tables

For the day, the log of a real analysis (a clip of one minute at 30 frames/s, two people) is written again and
again with later times, as a camera would write it; all tables are then computed from it as after a run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mien
from video import make_clip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30, help="length of each clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hours", type=float, nargs="+", default=[], help="only tables, of so long clips")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"mien {mien.__version__}, Python {platform.python_version()}, {cores} cores")
    with tempfile.TemporaryDirectory() as folder:
        if not options.hours:
            at_once(Path(folder), options.clips, options.seconds, options.rounds)
        for number, hours in enumerate(options.hours):
            (Path(folder) / str(number)).mkdir()
            day(Path(folder) / str(number), hours)


def at_once(folder: Path, clips: int, seconds: float, rounds: int) -> None:
    """The same clips with one and two processes, in turns."""
    (folder / "clips").mkdir()
    for number in range(clips):
        make_clip(folder / "clips" / f"{number}.mp4", 2, seconds)
    wall: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds):
        for jobs in wall:
            out = folder / f"study-{turn}-{jobs}"
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            predict(folder / "clips", out, "--jobs", str(jobs))
            spent = time.perf_counter() - begun
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            wall[jobs].append(spent)
            print(
                f"--jobs {jobs}: {spent:.1f} s, {cpu:.1f} s of CPU, {cpu / spent:.2f} cores busy", flush=True
            )
    best = {jobs: min(times) for jobs, times in wall.items()}
    print(f"{clips} clips of {seconds:.0f} s, the best of {rounds}: {best[1] / best[2]:.2f} times as fast")


def predict(source: Path, out: Path, *words: str) -> None:
    """`mien predict` in a process of its own."""
    command = [sys.executable, "-m", "mien.cli.app", "predict", str(source), "--out", str(out), *words]
    subprocess.run(command, check=True, capture_output=True)


def day(folder: Path, hours: float) -> None:
    """The tables of a long clip from its log: time and memory."""
    clip = make_clip(folder / "clip.mp4", 2, 60)
    study = folder / "study"
    predict(clip, study, "--end", "60")
    log = study / "clip" / "log.jsonl"
    header, *lines = log.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    step = records[-1]["time_s"] - records[-2]["time_s"]
    length, frames = records[-1]["time_s"] + step, records[-1]["frame"] + 1
    ticks = records[-1]["pts"] + records[-1]["pts"] - records[-2]["pts"]
    times = round(hours * 3600 / length)
    with log.open("w", encoding="utf-8") as file:
        file.write(header + "\n")
        for turn in range(times):
            for record in records:
                later = {"frame": record["frame"] + turn * frames, "time_s": record["time_s"] + turn * length}
                file.write(json.dumps(record | later | {"pts": record["pts"] + turn * ticks}) + "\n")
    print(f"log: {times * len(records):,} frames, {log.stat().st_size / 1e6:,.0f} MB", flush=True)
    code = "import resource, sys; from mien.video.study.rewrite import *; "
    code += "rewrite(sys.argv[1], StudyOptions(exports=('elan', 'boris', 'long'))); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, str(study)], check=True, capture_output=True)
    spent, most = time.perf_counter() - begun, int(done.stdout) / 1024
    tables = sum(path.stat().st_size for path in (study / "clip").glob("*.parquet")) / 1e6
    cost = f"{spent:,.0f} s, {most:.0f} MB at most, {tables:,.1f} MB of Parquet"
    print(f"tables of {hours:g} h: {cost}", flush=True)


if __name__ == "__main__":
    main()
