"""The `report` recipe is the report's own, to the letter.

Source: the report, sections 3.1 (transforms), 3.2.2 (network and training).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional

from mien.data.table import FaceTable
from mien.errors import ModelError
from mien.runs.recipe import load_recipe
from mien.runs.recipe_sections import AugmentRecipe
from mien.training.data.loader import Batch, BatchLoader
from mien.training.distributed import World
from mien.training.learner import Learner
from mien.training.network.model import StaticSameConv2d, build_network

REPORT = load_recipe("report")


def test_the_transforms_are_the_reports() -> None:
    assert REPORT.augment == AugmentRecipe(
        crop_padding=2,  # RandomCrop(48, padding=2, padding_mode='reflect')
        degrees=15,  # RandomAffine(degrees=(-15, 15), translate=(0.1, 0.1)): nearest, black outside
        translate=0.1,
        interpolation="nearest",
        fill="zero",
        flip=0.5,  # RandomHorizontalFlip()
        autocontrast=0.5,  # RandomAutocontrast()
    )
    assert REPORT.augment.scale == (1.0, 1.0)
    for off in ("brightness", "contrast", "erase", "mixup", "cutmix"):
        assert getattr(REPORT.augment, off) == 0
    assert (REPORT.network.mean, REPORT.network.std) == (0.5, 0.5)  # Normalize((0.5,), (0.5,))


def test_the_settings_are_the_reports() -> None:
    assert REPORT.optimizer.name == "adam"
    assert REPORT.optimizer.lr == 1e-3
    assert REPORT.optimizer.weight_decay == 1e-4
    assert REPORT.optimizer.clip_value == 0.1
    assert REPORT.optimizer.clip_norm == REPORT.optimizer.ema == REPORT.optimizer.sam_rho == 0
    assert REPORT.schedule.name == "onecycle"
    assert REPORT.schedule.epochs == 40
    assert REPORT.schedule.patience == 0
    assert REPORT.schedule.sizes == ()
    assert REPORT.loop.select == "accuracy"
    assert REPORT.loss.label_smoothing == 0
    assert REPORT.data.train == "Training"
    assert REPORT.data.validation == "PublicTest"
    assert REPORT.data.without_duplicates_of == ()
    assert not REPORT.data.votes
    assert REPORT.network.backbone == "tf_efficientnet_b0"
    assert REPORT.network.init == "hub:aa_in1k"
    assert REPORT.network.size == 48


def test_the_stem_is_one_channel_padded_statically_for_48_px() -> None:
    network = build_network(REPORT.network, ("fer2013",), seed=0, pretrained=False)
    stem = network.backbone.get_submodule("conv_stem")
    assert isinstance(stem, StaticSameConv2d)
    assert (stem.in_channels, stem.out_channels, stem.kernel_size, stem.stride) == (1, 32, (3, 3), (2, 2))
    assert stem.bias is None
    assert stem.same_padding == [0, 1, 0, 1]  # left, right, top, bottom
    assert stem(torch.zeros(1, 1, 48, 48)).shape == (1, 32, 24, 24)


# Logits of EfficientNet-PyTorch 0.7.1, EfficientNet.from_name("efficientnet-b0", num_classes=7) with
# the report's stem, its tensors filled and its input drawn as below, in float64.
THEIRS = [
    [1.009338, 0.940081, 0.716047, 0.800724, 0.928236, 0.852710, 0.938549],
    [1.016283, 0.939530, 0.719595, 0.790166, 0.919523, 0.847489, 0.934632],
]


@torch.no_grad()
def fill(network: nn.Module) -> None:
    """Both networks have the same tensors in the same order, so each is filled by its number."""
    for i, value in enumerate(network.state_dict().values()):
        if value.ndim:
            noise = torch.from_numpy(np.random.default_rng(i).standard_normal(tuple(value.shape)))
            value.copy_(noise * (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 1 + 0.1 * noise.abs())


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1000).random((2, 1, 48, 48)))


def filled(padding_size: int) -> nn.Module:
    spec = replace(REPORT.network, padding_size=padding_size)
    network = build_network(spec, ("fer2013",), seed=0, pretrained=False).double().eval()
    fill(network)
    return network


@torch.no_grad()
def test_the_network_is_efficientnet_pytorchs(pixels: Tensor) -> None:
    ours = filled(REPORT.network.padding_size)(pixels)["fer2013"]
    np.testing.assert_allclose(ours.numpy(), THEIRS, atol=1e-6)


@torch.no_grad()
def test_a_file_of_efficientnet_pytorch_is_read_as_its_network_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 224 px and with the stem's filters kept, both give the same features of the same gray picture."""
    theirs = EfficientNet.from_name("efficientnet-b0").eval()
    fill(theirs)
    old = {key: value for key, value in theirs.state_dict().items() if "num_batches" not in key}
    torch.save(old, tmp_path / "efficientnet-b0-355c32eb.pth")
    spec = replace(
        REPORT.network,
        init=str(tmp_path / "efficientnet-b0-355c32eb.pth"),
        stem_init="sum",
        size=224,
        mean=0.0,
        std=1.0,
    )
    ours = build_network(spec, ("fer2013",), seed=0).eval()
    gray = torch.from_numpy(np.random.default_rng(5).random((2, 1, 224, 224), np.float32))
    expected = theirs.extract_features(gray.expand(-1, 3, -1, -1))
    features = ours.get_submodule("backbone").forward_features(gray)  # type: ignore[operator]
    np.testing.assert_allclose(features.numpy(), expected.numpy(), atol=2e-4 * float(expected.abs().max()))
    with pytest.raises(ModelError, match="does not hold the weights of tf_efficientnet_b1"):
        build_network(replace(spec, backbone="tf_efficientnet_b1"), ("fer2013",), seed=0)


@torch.no_grad()
def test_its_paddings_are_those_of_224_px_at_every_layer_but_the_stem(pixels: Tensor) -> None:
    """A regression test. EfficientNet-PyTorch works out all paddings for the 224 px of its `image_size`,
    and the report replaced the stem alone. At 48 px a map of 3 x 3 is then padded by 3 in all, not by 4,
    and shrinks to a single cell; the recipe first padded every layer for 48 px, which gives 2 x 2."""
    ours = filled(padding_size=0)(pixels)["fer2013"]
    assert np.abs(ours.numpy() - THEIRS).max() > 0.05


def test_batch_norm_dropout_and_drop_connect_are_efficientnet_pytorchs() -> None:
    """Its global parameters: batch_norm_momentum=0.99 as TensorFlow counts it, batch_norm_epsilon=1e-3,
    dropout_rate=0.2, drop_connect_rate=0.2 rising linearly over the 16 blocks."""
    network = build_network(REPORT.network, ("fer2013",), seed=0, pretrained=False)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(module.momentum, module.eps) for module in norms} == {(0.01, 1e-3)}
    assert network.dropout.p == 0.2
    rates = {
        name: module.drop_prob for name, module in network.named_modules() if hasattr(module, "drop_prob")
    }
    # A block that changes the shape has no residual to drop; the others have 0.2 i / 16.
    with_residual = [2, 4, 6, 7, 9, 10, 12, 13, 14]
    found = {round(rate * 16 / 0.2) for rate in rates.values()}
    assert set(with_residual) <= found
    assert max(rates.values()) == pytest.approx(0.2 * 15 / 16)


# ---- the training step, written as in the report ---------------------------------------------------


class ReportModel(nn.Module):
    """EmotionBase, with our network inside."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        out = self.network(images)["fer2013"]
        return functional.cross_entropy(out, labels)


def report_fit(
    epochs: int,
    max_lr: float,
    model: ReportModel,
    batches: list[Batch],
    weight_decay: float,
    grad_clip: float,
) -> tuple[list[float], list[float]]:
    """`fit` of section 3.2.2, its validation left out; (losses, learning rates) by step."""
    optimizer = torch.optim.Adam(model.parameters(), max_lr, weight_decay=weight_decay)
    sched = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr, epochs=epochs, steps_per_epoch=len(batches) // epochs
    )
    losses, lrs = [], []
    model.train()
    for batch in batches:
        torch.manual_seed(batch.seed)
        loss = model.training_step((batch.pixels, batch.targets["fer2013"].argmax(1)))
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), grad_clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        lrs.append(optimizer.param_groups[0]["lr"])
        sched.step()
    return losses, lrs


def test_the_steps_are_the_reports(few_faces: FaceTable) -> None:
    """All of `report` but the backbone, which is smaller, on the same batches: losses, rates and weights."""
    small: dict[str, Any] = {"backbone": "tinynet_e", "init": "random"}
    recipe = replace(
        REPORT,
        network=replace(REPORT.network, **small),
        schedule=replace(REPORT.schedule, epochs=2),
        loop=replace(REPORT.loop, batch_size=8),
    )
    faces = few_faces.take(np.r_[0:16, 32:38])  # two batches an epoch, and some to validate
    device = torch.device("cpu")
    loader = BatchLoader(recipe, faces, device=device, world=World(), note=lambda text: None)
    learner = Learner(
        recipe,
        loader.heads,
        steps=loader.steps,
        batch=loader.batch,
        device=device,
        world=World(),
        pretrained=True,
        note=lambda text: None,
    )
    learner.network.train().double()
    model = ReportModel(build_network(recipe.network, loader.heads, seed=recipe.loop.seed).double())
    # In float64, for Adam makes a whole step of the rounding of a gradient that should be zero.
    batches = [
        replace(batch, pixels=batch.pixels.double())
        for epoch in range(2)
        for step in range(loader.steps)
        for batch in [loader.batch_at(loader.order(epoch), epoch, step)]
    ]
    losses, lrs = [], []
    for batch in batches:
        lrs.append(learner.lr)
        sums, _ = learner.update(batch)
        losses.append((sums[0] / sums[2]).item())
    their_losses, their_lrs = report_fit(2, 1e-3, model, batches, weight_decay=1e-4, grad_clip=0.1)
    assert lrs == pytest.approx(their_lrs)
    assert losses == pytest.approx(their_losses, abs=1e-6)
    theirs = model.network.state_dict()
    for name, value in learner.network.state_dict().items():
        torch.testing.assert_close(value, theirs[name], atol=1e-7, rtol=1e-6, msg=name)
