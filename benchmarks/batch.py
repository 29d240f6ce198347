"""Data sets: photos per second against the analysis alone, memory, killed runs, and ranges of clips.

    python benchmarks/batch.py rate PHOTOS --files 10000
    python benchmarks/batch.py memory PHOTOS --files 1000 10000
    python benchmarks/batch.py memory PHOTOS --files 1000 10000 100000 --crops
    python benchmarks/batch.py engines PHOTOS --files 480 --rounds 3
    python benchmarks/batch.py kills PHOTOS --kills 50
    python benchmarks/batch.py ranges PHOTOS --clips made package.mp4 --range 10

PHOTOS is a folder of photos with faces. `rate` makes different files of them (another size and another frame
for each), reads them with `read_images`, and between the parts of the run measures what detector and
classifier alone do with the same pixels in memory, on as many processes. `memory` reads links to small
versions, with `--crops` without detection. `engines` compares worker processes with actors of Ray, one and
two of each, from the first batch to the last, so without their start. `kills` ends a run with SIGKILL at
random moments, and compares the rows. `ranges` reads clips as a whole and in ranges that are joined, and
compares the rows: clips in files, and with `made`, clips that pan over the photos, some with hard cuts.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from mien.batch import ClipReadOptions, RayEngine, read_clips, read_images
from mien.batch.worker import ReadOptions
from mien.errors import ImageError
from mien.images.decode import DecodedImage, read_image
from mien.images.find import find_images
from mien.testing.clips import write_clip

_SMALL, _SIDE = 160, 1024
_HELD: list[DecodedImage] = []


def machine() -> str:
    """Processor, cores, versions."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    name = names[0] if names else platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def photos_of(folder: Path) -> list[Path]:
    """The photos with a face in a folder: no icons, and nothing that cannot be read."""
    analyzer = ReadOptions().analyzer()
    found = []
    for path in find_images([folder]):
        try:
            image = read_image(path)
        except ImageError:
            continue
        if min(image.width, image.height) >= 400 and 1 <= len(analyzer.analyze(image)) <= 10:
            found.append(path)
    return found


def make_different(photos: list[Path], folder: Path, count: int, groups: int = 1) -> None:
    """`count` JPEG files in some folders, each of another size and frame, at most 1,024 pixels a side."""
    rng = np.random.default_rng(0)
    for number in range(count):
        below = folder / f"{number * groups // count:03}"
        below.mkdir(parents=True, exist_ok=True)
        with Image.open(photos[number % len(photos)]) as photo:
            photo = photo.convert("RGB")
            photo.thumbnail((_SIDE, _SIDE))
            left, top, right, bottom = (rng.uniform(0, 0.05, 4) * ([photo.width, photo.height] * 2)).tolist()
            scale = rng.uniform(0.9, 1.0)
            frame = (left, top, photo.width - right, photo.height - bottom)
            size = (round((frame[2] - frame[0]) * scale), round((frame[3] - frame[1]) * scale))
            photo.resize(size, Image.Resampling.BILINEAR, box=frame).save(
                below / f"{number:06}.jpg", quality=88
            )


def hold(paths: list[Path]) -> None:
    """Decode photos and keep them in this process."""
    _HELD.extend(read_image(path) for path in paths)


def analyze_held(_: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds that detector and classifier take for the pixels that are held."""
    analyzer = ReadOptions().analyzer()
    list(analyzer.analyze_many(_HELD[:2]))
    start, cpu = time.perf_counter(), time.process_time()
    list(analyzer.analyze_many(_HELD))
    return time.perf_counter() - start, time.process_time() - cpu


def in_memory(paths: list[Path], workers: int) -> tuple[float, float]:
    """Photos per second, and CPU milliseconds per photo, of detector and classifier alone."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, hold, (paths,)) as pool:
        several = pool.map(analyze_held, range(workers), chunksize=1)
    rate = sum(len(paths) / wall for wall, _ in several)
    return rate, 1000 * statistics.mean(cpu for _, cpu in several) / len(paths)


def rate(arguments: argparse.Namespace) -> None:
    """Compare a run over many files with detector and classifier alone, in turns."""
    photos, workers = photos_of(arguments.photos), arguments.workers
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = Path(scratch) / "photos"
        count = arguments.files[0]
        make_different(photos, folder, count, arguments.rounds)
        files = sorted(folder.rglob("*.jpg"))
        rng = np.random.default_rng(1)
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        print(f"{machine()}; {count:,} files from {len(photos)} photos, {megabytes:,.0f} MB")
        alone, whole = [], []
        for turn in range(arguments.rounds):
            share = [folder / f"{turn:03}"]
            files = sorted(share[0].iterdir())
            sample = rng.choice(len(files), min(len(files), arguments.sample), replace=False)
            alone.append(in_memory([files[i] for i in sample], workers))
            start, cpu = time.perf_counter(), _cpu()
            result = read_images(share, Path(scratch) / f"out-{turn}", workers=workers, merge=True)
            wall, cpu = time.perf_counter() - start, _cpu() - cpu
            whole.append((result.files / wall, 1000 * cpu / result.files))
            print(
                f"in memory {alone[-1][0]:.1f} photos/s, {alone[-1][1]:.1f} CPU ms a photo; files "
                f"{whole[-1][0]:.1f} photos/s, {whole[-1][1]:.1f} CPU ms "
                f"({result.files} files, {result.faces} faces, {wall:.0f} s)",
                flush=True,
            )
        rates = [here / there for (here, _), (there, _) in zip(whole, alone, strict=True)]
        times = [there / here for (_, here), (_, there) in zip(whole, alone, strict=True)]
        print(
            f"of detector and classifier alone: {statistics.median(rates):.1%} of the photos per second "
            f"({min(rates):.1%} to {max(rates):.1%}), {statistics.median(times):.1%} by CPU time, "
            f"{arguments.rounds} rounds, {workers} processes"
        )


def _cpu() -> float:
    """CPU seconds of this process and of those that ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


_RUN = """
import json, resource, sys, time
from mien.batch import read_images
from mien.batch.worker import ReadOptions
if __name__ == "__main__":
    start = time.perf_counter()
    photos, out, workers, part_files, crops = sys.argv[1:]
    options = ReadOptions(crops=crops == "True")
    result = read_images([photos], out, options, workers=int(workers), part_files=int(part_files))
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    # Not ru_maxrss: that of a new process begins with the memory of the one that started it.
    own = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps([result.files, result.faces, time.perf_counter() - start, own, largest]))
"""


def memory(arguments: argparse.Namespace) -> None:
    """Peak memory of runs over 1,000 files and more."""
    print(machine())
    photos = photos_of(arguments.photos)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        small, script = Path(scratch) / "small", Path(scratch) / "run.py"
        small.mkdir()
        script.write_text(_RUN)
        for number, path in enumerate(photos):
            with Image.open(path) as photo:
                photo = photo.convert("RGB")
                photo.thumbnail((_SMALL, _SMALL))
                photo.save(small / f"{number}.jpg")
        made = sorted(small.iterdir())
        for count in arguments.files:
            folder, out = Path(scratch) / f"{count}", Path(scratch) / f"out-{count}"
            for number in range(count):
                below = folder / f"{number // 1000:03}"
                below.mkdir(parents=True, exist_ok=True)
                os.link(made[number % len(made)], below / f"{number:06}.jpg")
            for again in (False, True):
                command = [sys.executable, script, folder, out, str(arguments.workers), "1000"]
                command.append(str(arguments.crops))
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                files, faces, seconds, own, largest = json.loads(done.stdout)
                print(
                    f"{count:,} files{', second run' if again else ''}: {files:,} read, {faces:,} faces, "
                    f"{seconds:.0f} s ({files / seconds:.0f}/s), first process {own:.0f} MB, "
                    f"the largest worker {largest:.0f} MB",
                    flush=True,
                )
            size = sum(path.stat().st_size for path in (out / "images").iterdir())
            print(
                f"{count:,} files: parts of {size / 1e6:.1f} MB, {size / count:.0f} bytes a file", flush=True
            )
            shutil.rmtree(folder)


def engines(arguments: argparse.Namespace) -> None:
    """Photos per second with one and two processes, and with one and two actors of Ray, in turns."""
    print(machine())
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = Path(scratch) / "photos"
        make_different(photos_of(arguments.photos), folder, arguments.files[0])
        for turn in range(arguments.rounds):
            for workers in (1, 2):
                for name, engine in (("processes", None), ("Ray", RayEngine())):
                    moments: list[tuple[int, float]] = []
                    read_images(
                        [folder],
                        Path(scratch) / f"{name}-{workers}-{turn}",
                        workers=workers,
                        engine=engine,
                        progress=lambda what, done, _total: (
                            moments.append((done, time.perf_counter()))  # noqa: B023
                            if what == "reading" and done
                            else None
                        ),
                    )
                    (first, start), (last, end) = moments[0], moments[-1]
                    rates.setdefault((name, workers), []).append((last - first) / (end - start))
                    print(name, workers, f"{rates[name, workers][-1]:.1f} photos/s", flush=True)
    for (name, workers), several in rates.items():
        low, high = min(several), max(several)
        print(f"{name}, {workers}: {statistics.median(several):.1f} photos/s ({low:.1f} to {high:.1f})")


def kills(arguments: argparse.Namespace) -> None:
    """End runs with SIGKILL at random moments, finish, and compare with a run that nobody ended."""
    photos, moments = photos_of(arguments.photos), random.Random(0)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder, out, whole = (Path(scratch) / name for name in ("photos", "out", "whole"))
        script = Path(scratch) / "run.py"
        script.write_text(_RUN)
        make_different(photos, folder, arguments.files[0])
        read_images([folder], whole, workers=arguments.workers, part_files=5)
        killed = runs = doubled = 0
        command = [sys.executable, script, folder, out, str(arguments.workers), "5", "False"]
        while killed < arguments.kills:
            run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            time.sleep(moments.uniform(0.2, arguments.longest))
            runs += 1
            if run.poll() is None:
                killed += 1
                run.send_signal(signal.SIGKILL)
            elif runs > killed + 1:
                shutil.rmtree(out)  # finished: begin anew for the kills that are left
                runs = killed
            run.wait()
            if out.exists() and list(out.glob("images/part-*")):
                doubled += pd.read_parquet(out / "images").duplicated(["source", "face_id"]).any()
        subprocess.run(command, check=True)
        rows = [
            pd.read_parquet(each / "images").sort_values(["source", "face_id"]).reset_index(drop=True)
            for each in (out, whole)
        ]
        names = [name for name in rows[0].columns if name != "file_id"]
        pd.testing.assert_frame_equal(rows[0][names], rows[1][names])
        print(
            f"{machine()}; {killed} runs ended by SIGKILL, then one finished: "
            f"{rows[0]['source'].nunique()} files, {len(rows[0])} rows, the same as of a whole run; "
            f"data sets with rows twice meanwhile: {doubled}"
        )


def make_clips(photos: list[Path], folder: Path, seconds: float) -> list[Path]:
    """Clips that pan over photos at 25 and 30 frames per second, in one scene or with a cut every 7.37 s."""
    folder.mkdir()
    scenes = []
    for path in photos:
        with Image.open(path) as photo:
            height = max(400, round(photo.height * 720 / photo.width))
            scenes.append(photo.convert("RGB").resize((720, height)))

    def frames(first: int, rate: int, scene_s: float) -> Iterator[Any]:
        for frame in range(round(seconds * rate)):
            scene = int(frame / rate / scene_s)
            image = scenes[(first + scene % 3) % len(scenes)]
            shift = 35 * np.sin(0.3 * frame / rate + scene)
            left, top = round(40 + shift), round(max(0.0, min(image.height / 4, image.height - 360)))
            yield np.asarray(image.crop((left, top, left + 640, top + 360)))

    made = []
    for number, (rate, scene_s) in enumerate((rate, cut) for rate in (25, 30) for cut in (seconds, 7.37)):
        path = folder / f"{rate}-{'cuts' if scene_s < seconds else 'one-scene'}.mp4"
        made.append(write_clip(path, frames(3 * number, rate, scene_s), rate=rate))
    return made


def ranges(arguments: argparse.Namespace) -> None:
    """Compare the rows of clips that are read in ranges with those of clips that are read as a whole."""
    print(machine())
    names = ["frame", "face_id"]
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        clips = [Path(name) for name in arguments.clips if name != "made"]
        if "made" in arguments.clips:
            clips += make_clips(photos_of(arguments.photos), Path(scratch) / "made", arguments.seconds)
        for number, clip in enumerate(clips):
            tables = []
            for range_s in (None, arguments.range):
                start, out = time.perf_counter(), Path(scratch) / f"{number}-{range_s}"
                options = ClipReadOptions(range_s=range_s)
                result = read_clips([clip], out, options, workers=arguments.workers)
                rows = pd.read_parquet(out / "clips.parquet").drop(columns="file_id")
                tables.append(rows[rows["frame"].notna()].sort_values(names).reset_index(drop=True))
                kind = f"{result.ranges} ranges" if range_s else "whole"
                print(
                    f"{clip.name}, {kind}: {len(rows)} rows, {time.perf_counter() - start:.1f} s", flush=True
                )
            print(f"  {compared(*tables)}", flush=True)


def compared(whole: pd.DataFrame, joined: pd.DataFrame) -> str:
    """What is the same in the rows of a whole clip and of its joined ranges."""
    same = [
        len(each.merge(other, on=list(whole.columns), how="inner")) / max(1, len(each))
        for each, other in ((whole, joined), (joined, whole))
    ]
    text = (
        f"equal rows {min(same):.1%}; persons {whole['face_id'].nunique()} and {joined['face_id'].nunique()}"
    )
    both = whole.merge(joined, on="frame", suffixes=("", "_b"))
    width = np.minimum(both["x"] + both["box_width"], both["x_b"] + both["box_width_b"]) - both[
        ["x", "x_b"]
    ].max(axis=1)
    height = np.minimum(both["y"] + both["box_height"], both["y_b"] + both["box_height_b"]) - both[
        ["y", "y_b"]
    ].max(axis=1)
    overlap = width.clip(lower=0) * height.clip(lower=0)
    union = both["box_width"] * both["box_height"] + both["box_width_b"] * both["box_height_b"] - overlap
    both["iou"] = overlap / union
    best = both.sort_values("iou").groupby(["frame", "face_id"]).tail(1)
    matched = best[best["iou"] >= 0.5]
    faces = max(1, whole["face_id"].notna().sum())
    number = (matched["face_id"] == matched["face_id_b"]).mean()
    change = (matched["raw_happy"] - matched["raw_happy_b"]).abs().quantile(0.99)
    return (
        f"{text}; frames {whole['frame'].nunique()} and {joined['frame'].nunique()}; faces with IoU 0.5 "
        f"in the other {len(matched) / faces:.2%}, mean IoU {matched['iou'].mean():.4f}, the same number "
        f"{number:.2%}; 99 % of raw_happy differ by less than {change:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["rate", "memory", "engines", "kills", "ranges"])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--files", type=int, nargs="+", default=[300])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=200, help="photos that are held in memory")
    parser.add_argument("--crops", action="store_true", help="read without detection")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--longest", type=float, default=6.0, help="seconds until a run is killed, at most")
    parser.add_argument("--clips", nargs="+", default=["made"], help="files of clips, and `made`")
    parser.add_argument("--range", type=float, default=10.0, help="seconds of a range")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each clip that is made")
    parser.add_argument("--scratch", type=Path, help="folder for the files that are made")
    arguments = parser.parse_args()
    commands = {"rate": rate, "memory": memory, "engines": engines, "kills": kills, "ranges": ranges}
    commands[arguments.what](arguments)


if __name__ == "__main__":
    main()
