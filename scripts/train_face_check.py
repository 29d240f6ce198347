"""Train the network that checks face crops: is it a face, is a part of it covered, is it moved?

    python scripts/train_face_check.py --data fer2013.csv --votes fer2013new.csv --without-people FOLDER \
        --out src/mien/models/weights/face-check.onnx

Faces are FER2013's Training split, without those that a voter took for no face. Covers and motion are drawn
on them (`mien.training.data`). What is no face are the detector's finds, at a low threshold, in images
without people, and random squares of them. The limits are chosen on PublicTest: the network keeps 99.8 % of
its faces, and calls 1 % of them covered and 1 % moved. `--without-people` is a folder of such images: the
weights that ship were trained on images of Debian's packages (docs/provenance.md).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.progress import track
from torch import Generator, Tensor, nn
from torch.nn import functional

from mien.data import load
from mien.data.votes import join_votes
from mien.detection.blazeface import BlazeFace
from mien.files import sha256_file
from mien.images.crop import FER2013_FRAMING, face_square, sample_square
from mien.runs.recipe_sections import AugmentRecipe
from mien.training.data import augment

CHECKS = ("face", "covered", "moved")
# Of PublicTest's faces: how many may be lost, and how many are called covered or moved.
LOST, CALLED = 0.002, 0.01
# In pixels of 48: from the first on a face counts as moved; between the others it counts as neither.
MOVED, UNCLEAR = 5.0, (2.5, 6.0)
CHANGES: dict[str, Any] = {
    "crop_padding": 3, "translate": 0.05, "flip": 0.5, "brightness": 0.2, "contrast": 0.3, "blur": 1.0,
    "noise": 0.06,
}  # fmt: skip
FACES = AugmentRecipe(degrees=15, scale=(0.85, 1.2), cover=0.5, motion=16.0, **CHANGES)
OTHERS = AugmentRecipe(degrees=30, scale=(0.85, 1.3), **CHANGES)
FACES_PER_STEP, OTHERS_PER_STEP = 96, 64


class Network(nn.Module):
    """Six convolutions and one layer on all that they give: float (N, S, S) in 0..255 to logits (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        layers = [(1, 16, 2), (16, 32, 1), (32, 48, 2), (48, 48, 1), (48, 64, 2), (64, 64, 1)]
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, s, 1, bias=False) for i, o, s in layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _ in layers)
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Linear(64 * 36, len(CHECKS))

    def forward(self, pixels: Tensor) -> Tensor:
        """Light and contrast are taken out first."""
        x = pixels[:, None]
        centred = x - x.mean((1, 2, 3), keepdim=True)
        x = centred / ((centred**2).mean((1, 2, 3), keepdim=True).sqrt() + 5)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.relu(norm(convolution(x)))
        return self.last(self.dropout(x.flatten(1)))


def others(folder: Path, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.intp]]:
    """Crops (N, 48, 48) without faces, the confidence of each (0 for a random square), and its image."""
    detector = BlazeFace(threads=1, threshold=0.15, min_face=None, check_faces=False)
    generator = np.random.default_rng(seed)
    crops, confidences, numbers = [], [], []
    images = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    for number, path in enumerate(track(images, "Searching images without people")):
        try:
            image = Image.open(path).convert("RGBA")
        except OSError as error:
            print(f"{path} is left out: {error}")
            continue
        ground = Image.new("RGBA", image.size, (*(int(v) for v in generator.integers(0, 256, 3)), 255))
        image = Image.alpha_composite(ground, image).convert("RGB")
        image.thumbnail((640, 640))
        if min(image.size) < 48:
            continue
        pixels = np.asarray(image)
        for each in (pixels, np.ascontiguousarray(pixels[:, ::-1])):
            for found in detector.detect(each)[:6]:
                crops.append(face_square(each, found, FER2013_FRAMING))
                confidences.append(found.confidence)
                numbers.append(number)
        side = int(generator.uniform(0.15, 0.8) * min(image.size))
        x, y = (float(generator.integers(0, length - side + 1)) for length in image.size)
        square = np.asarray(sample_square(pixels, x, y, side, 48, gray=True))
        if square.std() > 8:
            crops.append(square)
            confidences.append(0)
            numbers.append(number)
    return np.stack(crops), np.array(confidences, np.float32), np.array(numbers)


def train(faces: Tensor, no_faces: Tensor, epochs: int, seed: int) -> Network:
    """The average of the weights over some thousand steps, of a network begun at random."""
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    network, average = Network(), Network()
    steps = epochs * len(faces) // FACES_PER_STEP
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in track(range(steps), "Training"):
        chosen = faces[torch.randint(0, len(faces), (FACES_PER_STEP,), generator=generator)]
        drawn = augment.draw(FACES, len(chosen), 48, generator)
        beside = no_faces[torch.randint(0, len(no_faces), (OTHERS_PER_STEP,), generator=generator)]
        beside = augment.augment(beside, OTHERS, generator)
        logits = network(torch.cat([augment.apply(chosen, drawn, FACES), beside])[:, 0] * 255)
        loss = losses(logits, drawn)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        keep = min(0.998, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                kept.copy_(keep * kept + (1 - keep) * new if kept.is_floating_point() else new)
    return average.eval()


def losses(logits: Tensor, drawn: augment.AugmentParameters) -> Tensor:
    """The sum of three cross-entropies; covered and moved count for the faces only, which come first."""
    n = len(drawn.motion)
    length = drawn.motion[:, 0]
    is_face = torch.zeros(len(logits))
    is_face[:n] = 1
    clear = ((length <= UNCLEAR[0]) | (length >= UNCLEAR[1])).float()
    entropy = functional.binary_cross_entropy_with_logits
    return (
        entropy(logits[:, 0], is_face)
        + entropy(logits[:n, 1], (kinds(drawn) >= 0).float())
        + entropy(logits[:n, 2], (length >= MOVED).float(), weight=clear)
    )


def kinds(drawn: augment.AugmentParameters) -> Tensor:
    """(N,) the kind of each face's cover, -1 for none."""
    return torch.full((len(drawn.motion),), -1) if drawn.covers is None else drawn.covers.kind


@torch.no_grad()
def probabilities(network: Network, crops: Tensor) -> NDArray[np.float32]:
    """(N, 3) of crops, uint8 or float (N, 48, 48) in 0..255."""
    parts = [torch.sigmoid(network(part.float())) for part in crops.split(512)]
    return torch.cat(parts).numpy()


@torch.no_grad()
def set_limits(network: Network, faces: Tensor) -> None:
    """Shift each output so that its limit, chosen on these faces, becomes 0.5."""
    logits = torch.cat([network(part.float()) for part in faces.split(512)])
    shares = torch.tensor([LOST, 1 - CALLED, 1 - CALLED])
    network.last.bias -= torch.stack([logits[:, i].quantile(share) for i, share in enumerate(shares)])


def measure(
    network: Network, faces: Tensor, no_faces: NDArray[np.uint8], confidences: NDArray[np.float32], seed: int
) -> dict[str, Any]:
    """What the limits do on these faces, on the same faces changed, and on crops without a face."""
    generator = Generator().manual_seed(seed)
    still = AugmentRecipe(crop_padding=0, degrees=0, translate=0, scale=(1, 1), flip=0, cover=1.0)
    drawn = augment.draw(still, len(faces), 48, generator)
    covered = probabilities(network, augment.apply(faces, drawn, still)[:, 0] * 255)[:, 1] > 0.5
    found = {"covered": round(float(covered.mean()), 3)}
    for kind, name in enumerate(("mask", "hand", "sunglasses", "side")):
        found[name] = round(float(covered[kinds(drawn).numpy() == kind].mean()), 3)
    for length in (3, 5, 7, 10):
        motion = torch.tensor([[float(length), 0.0]]).expand(len(faces), 2)
        moved = augment.motion_blur(faces[:, None].float(), motion, 8)[:, 0]
        found[f"moved by {length} px"] = round(float((probabilities(network, moved)[:, 2] > 0.5).mean()), 3)
    kept = probabilities(network, torch.from_numpy(no_faces))[:, 0] >= 0.5
    finds = {
        f"confidence from {least}": [int(kept[confidences >= least].sum()), int((confidences >= least).sum())]
        for least in (0.15, 0.5, 0.7)
    }
    return {
        "limits": "0.5 for each",
        "faces": len(faces),
        "faces_lost": LOST,
        "faces_called_covered": CALLED,
        "faces_called_moved": CALLED,
        "found": found,
        "no_faces_kept_of": finds,
    }


def write_onnx(network: Network, path: Path) -> None:
    """The network with its normalisations folded: uint8 (N, 48, 48) to probabilities (N, 3).

    Weights are kept as float16 and computed with as float32.
    """
    nodes, values = [], {}

    def add(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(name: str, value: Any, kind: Any = np.float32) -> str:
        values[name] = numpy_helper.from_array(np.array(value, kind), name)
        return name

    def weights(name: str, value: Tensor) -> str:
        half = constant(f"{name}_half", value.detach().numpy(), np.float16)
        return add("Cast", [half], name, to=TensorProto.FLOAT)

    axes = {"axes": [1, 2], "keepdims": 1}
    x = add("Cast", ["pixels"], "float", to=TensorProto.FLOAT)
    centred = add("Sub", [x, add("ReduceMean", [x], "mean", **axes)], "centred")
    squares = add("ReduceMean", [add("Mul", [centred, centred], "square")], "variance", **axes)
    contrast = add("Add", [add("Sqrt", [squares], "deviation"), constant("least", 5)], "contrast")
    x = add("Div", [centred, contrast], "normal")
    x = add("Unsqueeze", [x, constant("channel", [1], np.int64)], "image")
    for number, (convolution, norm) in enumerate(zip(network.convolutions, network.norms, strict=True)):
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = weights(f"weight{number}", convolution.weight * gain[:, None, None, None])
        bias = weights(f"bias{number}", norm.bias - norm.running_mean * gain)
        stride = list(convolution.stride)
        x = add("Conv", [x, weight, bias], f"conv{number}", kernel_shape=[3, 3], pads=[1] * 4, strides=stride)
        x = add("Relu", [x], f"relu{number}")
    x = add("Flatten", [x], "flat", axis=1)
    last = [weights("last", network.last.weight), weights("last_bias", network.last.bias)]
    add("Sigmoid", [add("Gemm", [x, *last], "logits", transB=1)], "checks")
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 48, 48])
    checks = helper.make_tensor_value_info("checks", TensorProto.FLOAT, ["N", len(CHECKS)])
    graph = helper.make_graph(nodes, "face-check", [pixels], [checks], list(values.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def agree(network: Network, path: Path, crops: Tensor) -> None:
    """Stop where ONNX Runtime gives something else."""
    from mien.models.runtime import open_session

    (got,) = open_session(path).run(None, {"pixels": crops.numpy()})
    difference = float(np.abs(got - probabilities(network, crops)).max())
    if difference > 0.01:  # of rounding the weights
        raise SystemExit(f"{path} differs from PyTorch by {difference:.1e}.")


def main() -> None:
    """Read, train, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="FER2013")
    parser.add_argument("--votes", type=Path, required=True, help="FER+ votes of the same rows")
    parser.add_argument("--without-people", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--crops", type=Path, help="keep the crops of that folder here, or take them from here"
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, required=True, help="the ONNX file; its JSON is written beside it"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = join_votes(load(options.data), options.votes)

    def faces(split: str) -> Tensor:
        part = table.split(split)
        return torch.from_numpy(part.pixels[part.votes[:, -1] <= 1])

    if options.crops and options.crops.is_file():
        with np.load(options.crops) as file:
            crops, confidences, numbers = (file[name] for name in ("crops", "confidences", "numbers"))
    else:
        crops, confidences, numbers = others(options.without_people, options.seed)
    if options.crops:
        np.savez(options.crops, crops=crops, confidences=confidences, numbers=numbers)
    # Every eighth block of forty images is held out, so that images of one series stay together.
    held_out = numbers // 40 % 8 == 0
    network = train(faces("Training"), torch.from_numpy(crops[~held_out]), options.epochs, options.seed)
    set_limits(network, faces("PublicTest"))
    report = measure(network, faces("PublicTest"), crops[held_out], confidences[held_out], options.seed)
    write_onnx(network, options.out)
    agree(network, options.out, faces("PublicTest")[:256])
    card = {
        "name": options.out.stem,
        "sha256": sha256_file(options.out),
        "source": "trained from random weights by scripts/train_face_check.py",
        "licence": "Apache-2.0",
        "data": f"FER2013's Training split; {int((~held_out).sum())} crops of images without people",
        "input": "pixels: uint8 (N, 48, 48), gray, in FER2013's framing",
        "outputs": "checks: float32 (N, 3), probabilities: face, covered, moved",
        **report,
    }
    options.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
