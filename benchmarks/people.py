"""Does one person stay one person? Clips with known people, at full rate and at sampling intervals.

    python benchmarks/people.py photos/ --ckplus ckplus48/ --keep clips/

`photos/` holds the unpacked packages that docs/video.md names: their photos are panned and zoomed over, cut
from one face to another, and covered. Truth comes from the photo: each face's place in it, moved as the frame
moves. A number of mien's belongs to the person whose face it marks most often.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

import mien
from mien.geometry import Box, iou
from mien.models.registry import DEFAULT, find_model
from mien.models.runtime import CPU, onnxruntime
from mien.testing.clips import write_clip
from mien.video.log import replay
from mien.video.results import FrameResult
from mien.video.tracking.people import SAME_LIKENESS, People
from mien.video.tracking.portrait import likeness, portrait_of
from mien.video.tracking.tracker import Tracker

RATE, SIZE = 25, (640, 360)
INTERVALS_S = (None, 0.1, 0.2, 0.5)
GROUPS = (*(f"sample{i}.jpg" for i in range(1, 7)), "multi_face.jpg")
# Close-ups of one person each, in pairs of two people for a hard cut between them.
PAIRS = (
    ("0-f1-su-ph.jpg", "0-f15-hao-ph.jpg"),
    ("15-f13-anc-ph.jpg", "45-m7-di-ph.jpg"),
    ("biden.jpg", "obama.jpg"),
)
CLIPS = ("WolfgangLanger_Pexels.mp4", "single_face.mp4")
# Who is in the frame for less is not counted, nor is a face narrower than that many pixels of the frame.
SEEN_S, SMALLEST = 0.6, 40
NOISE = np.random.default_rng(0).normal(0, 2, (8, SIZE[1], SIZE[0], 1)).astype(np.int16)
_SAME = 0.3  # a box of mien's marks a true face if they overlap by so much

View = tuple[float, float, float]  # of a photo: the frame's centre, and its width, in pixels of the photo
Pixels = NDArray[np.uint8]
Marks = dict[int, Counter[str]]  # number of mien's -> person -> in how many frames
MODES = ("off", "clip", "all")


@dataclass(frozen=True)
class Shot:
    """A photo seen through a frame that may move.

    Attributes:
        photo: uint8 RGB (H, W, 3).
        faces: person to their face's box in the photo.
        view: from the time in seconds to what the frame shows.
        seconds: how long the shot lasts.
        plate: from the time to the share of the frame's width that a plate covers from the left.
    """

    photo: Pixels
    faces: dict[str, Box]
    view: Callable[[float], View]
    seconds: float
    plate: Callable[[float], float] = lambda _: 0.0


@dataclass(frozen=True)
class Clip:
    """A clip with known people.

    Attributes:
        family: which kind of clip.
        path: the file.
        truth: per frame of the file, person to box; None for a clip of one person whose boxes are unknown.
        real: who is seen whole for long enough to be found; others count if mien finds them.
    """

    family: str
    path: Path
    truth: list[dict[str, Box]] | None
    real: frozenset[str]


@dataclass
class Score:
    """What became of the people of some clips.

    Attributes:
        real, persons: how many people there are, and how many numbers mien gave.
        splits: numbers beyond the first for the same person.
        merges: people beyond the first under the same number.
        strays: numbers that mark nobody.
    """

    real: int = 0
    persons: int = 0
    splits: int = 0
    merges: int = 0
    strays: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def main() -> None:
    """Print one row per family, sampling interval and mode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder with the unpacked packages")
    parser.add_argument(
        "--ckplus", type=Path, help="folder of CK+, for people who return with another expression"
    )
    parser.add_argument("--people", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--families", nargs="+", help="only these")
    parser.add_argument("--keep", type=Path, help="folder for the clips; they are made once")
    options = parser.parse_args()
    analyzer = mien.Analyzer(threads=1)
    if options.ckplus:
        report_pairs(options.ckplus)
    with tempfile.TemporaryDirectory() as folder:
        out = options.keep or Path(folder)
        clips = [
            clip
            for clip in make_clips(options.photos, options.ckplus, out, analyzer)
            if not options.families or clip.family in options.families
        ]
        print("| clips | --people | interval | people | persons | per person | splits | merges | strays |")
        print("|---|---|---|---|---|---|---|---|---|")
        for interval_s, people in itertools.product(INTERVALS_S, options.people):
            report(clips, analyzer, people, interval_s, out)


def report(
    clips: Sequence[Clip], analyzer: mien.Analyzer, mode: str, interval_s: float | None, out: Path
) -> None:
    """Analyze all clips in one way, and print a row per family and one for all."""
    everybody, scores = People(), dict[str, Score]()
    marks: list[tuple[Clip, Marks]] = []
    for clip in clips:
        log = out / f"{clip.path.stem}-{interval_s}.jsonl"
        if not log.exists():  # tracking needs no second look at the clip
            for _ in mien.analyze_video(clip.path, analyzer=analyzer, interval_s=interval_s, log=log):
                pass
        people = everybody if mode == "all" else People(recognize=mode == "clip")
        marks.append((clip, mark(list(replay(log, tracker=Tracker(people=people))), clip)))
        scores[clip.family] = scores.get(clip.family, Score()) + score(marks[-1:])
    if mode == "all":
        scores = {"all": score(marks)}
    else:
        scores["all"] = sum(scores.values(), Score())
    every = "every frame" if interval_s is None else f"{interval_s} s"
    for family, it in scores.items():
        print(
            f"| {family} | {mode} | {every} | {it.real} | {it.persons} | {it.persons / it.real:.2f} "
            f"| {it.splits} | {it.merges} | {it.strays} |",
            flush=True,
        )


def report_pairs(ckplus: Path) -> None:
    """How well portraits and the network tell one person from two, on pairs of CK+ faces of two sequences."""
    files = {path.stem.rsplit("_", 1)[0]: path for path in sorted(ckplus.rglob("*.png"))}
    person = np.array([sequence.split("_")[0] for sequence in files])
    faces = np.stack([np.asarray(Image.open(path).convert("L")) for path in files.values()])
    ground = np.zeros((400, 400, 3), np.uint8)
    portraits = [portrait_of(face, ground, (100, 100, 100, 100)) for face in faces]
    features = _features(faces)
    features -= features.mean(axis=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    rows, columns = np.triu_indices(len(faces), 1)
    same = person[rows] == person[columns]
    scores = np.array([likeness(portraits[i], portraits[j]) for i, j in zip(rows, columns, strict=True)])
    by = {"portraits": scores, "network": (features @ features.T)[rows, columns]}
    print(f"CK+: {same.sum()} pairs of sequences of one person, {(~same).sum()} of two")
    for name, values in by.items():
        print(f"{name}: area under the ROC curve {roc_auc_score(same, values):.3f}")
    print(
        f"portraits at the threshold: {(scores[same] >= SAME_LIKENESS).mean():.1%} of the first found, "
        f"{(scores[~same] >= SAME_LIKENESS).mean():.2%} of the second confused\n"
    )


def _features(faces: Pixels) -> NDArray[np.float32]:
    """What the emotion network computes before its heads, (N, 1280)."""
    import onnx

    model = onnx.load(str(find_model(DEFAULT).onnx))
    last = next(node for node in model.graph.node if node.op_type == "Gemm")
    model.graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=[CPU])
    features: NDArray[np.float32] = session.run([last.input[0]], {"pixels": faces})[0]
    return features


def mark(results: Sequence[FrameResult], clip: Clip) -> Marks:
    """How often each number of a clip marks the face of each of its people."""
    marks: Marks = {}
    for result in results:
        people = None if clip.truth is None else clip.truth[min(result.frame, len(clip.truth) - 1)]
        for face in result.faces:
            seen = marks.setdefault(face.id, Counter())
            if people is None:
                seen[next(iter(clip.real))] += 1
            elif people:
                name = max(people, key=lambda name: iou(people[name], face.box))
                if iou(people[name], face.box) > _SAME:
                    seen[name] += 1
    return marks


def score(clips: Sequence[tuple[Clip, Marks]]) -> Score:
    """Compare the numbers of clips, which count across them, with their people."""
    total: Marks = {}
    under: dict[int, set[str]] = {}
    for _, marks in clips:
        for number, seen in marks.items():
            total.setdefault(number, Counter()).update(seen)
            # A frame or two at a crossing are no merge: somebody has a number from a fifth of its frames on.
            most = {name for name, count in seen.items() if count >= max(1, 0.2 * seen.total())}
            under.setdefault(number, set()).update(most)
    owners = Counter(seen.most_common(1)[0][0] for seen in total.values() if seen)
    real = frozenset().union(*(clip.real for clip, _ in clips))
    return Score(
        real=len(real | set(owners)),
        persons=len(total),
        splits=sum(count - 1 for count in owners.values()),
        merges=sum(max(0, len(names) - 1) for names in under.values()),
        strays=sum(not seen for seen in total.values()),
    )


def make_clips(photos: Path, ckplus: Path | None, out: Path, analyzer: mien.Analyzer) -> Iterator[Clip]:
    """All clips, written to a folder unless they are there already."""
    out.mkdir(parents=True, exist_ok=True)
    groups = [photo_of(photos, name, analyzer) for name in GROUPS]
    pairs = [[photo_of(photos, name, analyzer) for name in names] for names in PAIRS]
    for (pixels, faces), name in zip(groups, GROUPS, strict=True):
        for speed in (1.0, 2.0) if name in GROUPS[::3] else (1.0,):
            yield _clip(out, "pan and zoom", f"{Path(name).stem}-{speed}", [pan(pixels, faces, speed)])
    both = [*(_two(*group) for group in groups), *([_only(*a), _only(*b)] for a, b in pairs)]
    for number, (one, other) in enumerate(both):
        cuts = [close_up(*one, 1.2), close_up(*other, 1.2)] * 2
        yield _clip(out, "hard cut", str(number), cuts)
        yield _clip(out, "covered, returns", str(number), [covered(*one, 5.0)])
        yield _clip(
            out, "covered, another comes", str(number), [covered(*one, 2.5), covered(*other, 2.5, late=True)]
        )
    if ckplus:
        for number, (same, a, b) in enumerate(_expressions(ckplus)):
            family = "CK+, another expression" if same else "CK+, another person"
            shots = [covered(*a, 2.5), covered(*b, 2.5, late=True)]
            yield _clip(out, family, str(number), shots)
    for name in CLIPS:
        yield Clip("real clip of one person", next(photos.rglob(name)), None, frozenset({name}))


def pan(photo: Pixels, faces: dict[str, Box], speed: float) -> Shot:
    """From the whole photo to its first face, along all faces to the last, and back to the whole."""
    height, width = photo.shape[:2]
    whole = (width / 2, height / 2, min(width, height * SIZE[0] / SIZE[1]))
    centres = sorted((x + w / 2, y + h / 2) for x, y, w, h in faces.values())
    close = 3.5 * float(np.median([box[2] for box in faces.values()]))
    stops: list[View] = [whole, whole, *((x, y, close) for x, y in centres), whole, whole]
    rng = np.random.default_rng(0)
    shake = np.cumsum(rng.normal(0, 1, (4096, 2)), axis=0)
    shake -= np.stack([np.convolve(shake[:, i], np.ones(25) / 25, "same") for i in (0, 1)], axis=1)

    def view(t: float) -> View:
        at = min(t * speed / 1.5, len(stops) - 1.001)
        share = at % 1
        share = share * share * (3 - 2 * share)
        x, y, wide = (a + (b - a) * share for a, b in zip(stops[int(at)], stops[int(at) + 1], strict=True))
        dx, dy = shake[round(t * RATE)] * wide / SIZE[0]
        return x + dx, y + dy, wide

    return Shot(photo, faces, view, 1.5 * (len(stops) - 1) / speed)


def close_up(photo: Pixels, faces: dict[str, Box], seconds: float) -> Shot:
    """The first of the faces, in the middle of the frame, with a slow drift."""
    x, y, w, h = next(iter(faces.values()))
    return Shot(photo, faces, lambda t: (x + w / 2 + 0.05 * w * t, y + 0.7 * h, 3.2 * w), seconds)


def covered(photo: Pixels, faces: dict[str, Box], seconds: float, *, late: bool = False) -> Shot:
    """A close-up that a plate covers for 2.4 s, longer than a face is waited for; `late`: its second half."""
    shot, began = close_up(photo, faces, seconds), 2.5 if late else 0.0

    def plate(t: float) -> float:
        return float(np.clip(min((t + began - 1.0) / 0.25, (4.0 - t - began) / 0.25), 0, 1))

    return Shot(photo, faces, shot.view, seconds, plate)


def _clip(out: Path, family: str, name: str, shots: Sequence[Shot]) -> Clip:
    path = out / f"{family}-{name}.mp4".replace(", ", "-").replace(" ", "-").replace("+", "")
    times = [(shot, i / RATE) for shot in shots for i in range(round(shot.seconds * RATE))]
    if not path.exists():
        write_clip(path, (frame_at(*it) for it in times), rate=RATE)
    truth = [_truth(*it) for it in times]
    whole = Counter(name for people in truth for name, box in people.items() if _is_whole(box))
    real = frozenset(name for name, count in whole.items() if count >= SEEN_S * RATE)
    return Clip(family, path, truth, real)


def frame_at(shot: Shot, t: float) -> Pixels:
    x, y, wide = shot.view(t)
    scale = wide / SIZE[0]
    corner = (x - wide / 2, y - scale * SIZE[1] / 2)
    image = Image.fromarray(shot.photo)
    if scale > 1:  # sample no coarser than the pixels
        factor = max(1, int(scale))
        image, scale, corner = image.reduce(factor), scale / factor, (corner[0] / factor, corner[1] / factor)
    affine = (scale, 0, corner[0], 0, scale, corner[1])
    pixels = np.array(image.transform(SIZE, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC))
    pixels[:, : round(shot.plate(t) * SIZE[0])] = (70, 75, 80)
    noisy: Pixels = (pixels + NOISE[round(t * RATE) % len(NOISE)]).clip(0, 255).astype(np.uint8)
    return noisy


def _truth(shot: Shot, t: float) -> dict[str, Box]:
    """The people of whose face a part is in the frame and not covered."""
    x, y, wide = shot.view(t)
    scale, hidden = SIZE[0] / wide, shot.plate(t) * SIZE[0]
    found = {}
    for name, (left, top, w, h) in shot.faces.items():
        box = ((left - x) * scale + SIZE[0] / 2, (top - y) * scale + SIZE[1] / 2, w * scale, h * scale)
        if hidden < box[0] + box[2] and box[0] < SIZE[0] and box[1] + box[3] > 0 and box[1] < SIZE[1]:
            found[name] = box
    return found


def _is_whole(box: Box) -> bool:
    x, y, w, h = box
    return x >= 0 and y >= 0 and x + w <= SIZE[0] and y + h <= SIZE[1] and w >= SMALLEST


def photo_of(photos: Path, name: str, analyzer: mien.Analyzer) -> tuple[Pixels, dict[str, Box]]:
    image = Image.open(next(photos.rglob(name))).convert("RGB")
    faces = sorted(analyzer.analyze(image), key=lambda face: face.box[0])
    return np.asarray(image), {f"{name} {i}": face.box for i, face in enumerate(faces)}


def _two(photo: Pixels, faces: dict[str, Box]) -> list[tuple[Pixels, dict[str, Box]]]:
    """Two neighbours in a group photo, each first among its faces."""
    names = list(faces)[len(faces) // 2 - 1 : len(faces) // 2 + 1]
    return [(photo, {name: faces[name]} | faces) for name in names]


def _only(photo: Pixels, faces: dict[str, Box]) -> tuple[Pixels, dict[str, Box]]:
    name, box = max(faces.items(), key=lambda item: item[1][2])
    return photo, {name: box}


def _expressions(
    ckplus: Path,
) -> Iterator[tuple[bool, tuple[Pixels, dict[str, Box]], tuple[Pixels, dict[str, Box]]]]:
    """Two faces of one person with different expressions (True), and of two people, on a gray ground."""
    by_person: dict[str, dict[str, Path]] = {}
    for path in sorted(ckplus.rglob("*.png")):
        by_person.setdefault(path.stem.split("_")[0], {}).setdefault(path.parent.name, path)
    several = [list(faces.values()) for faces in by_person.values() if len(faces) > 1][:8]
    for i, faces in enumerate(several):
        name = faces[0].stem.split("_")[0]
        other = several[(i + 1) % len(several)][0]
        yield True, _canvas(faces[0], name), _canvas(faces[1], name)
        yield False, _canvas(faces[0], name), _canvas(other, other.stem.split("_")[0])


def _canvas(path: Path, person: str) -> tuple[Pixels, dict[str, Box]]:
    face = Image.open(path).convert("L").resize((200, 200), Image.Resampling.BICUBIC)
    canvas = Image.new("L", (1000, 700), 128)
    canvas.paste(face, (400, 250))
    pixels = np.asarray(canvas.convert("RGB"))
    return pixels, {person: (414.0, 283.0, 172.0, 172.0)}


if __name__ == "__main__":
    main()
