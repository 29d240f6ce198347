"""One batch's effect: what is measured, and that the way it is cut up does not matter."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.errors import Diverged
from mien.runs.recipe import Recipe
from mien.training.data.loader import Batch
from mien.training.distributed import World
from mien.training.learner import Learner
from mien.training.network.bf16 import layers as kernels
from mien.training.network.model import ExpressionNet

N = 12
# So that the whole batch's gradient is its parts' gradient: nothing random, and no statistics of the batch.
PLAIN = {
    "network": {"drop_path": 0.0, "drop_rate": 0.0},
    "optimizer": {
        "name": "sgd",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "lr": 1e-3,
        "ema": 0.0,
        "clip_norm": 0.0,
    },
    "schedule": {"warmup_epochs": 0.0},
    "loop": {"batch_size": N},
}


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 7, (N,), generator=generator)
    truth = functional.one_hot(labels, 7).float()
    return Batch(
        torch.rand(N, 1, 48, 48, generator=generator),
        {"fer2013": truth, "votes": torch.rand(N, 10, generator=generator).softmax(1)},
        truth,
        seed=4,
    )


@pytest.fixture
def learner(tiny: Callable[..., Recipe]) -> Callable[..., Learner]:
    """Makes a learner with sections of the plain recipe changed; `notes` gathers what it says."""

    def make(notes: list[str] | None = None, **changes: dict[str, object]) -> Learner:
        merged = {name: {**PLAIN.get(name, {}), **changes.get(name, {})} for name in {*PLAIN, *changes}}
        built = Learner(
            tiny(**merged),
            ("fer2013", "votes"),
            steps=10,
            batch=N,
            device=torch.device("cpu"),
            world=World(),
            pretrained=True,
            note=([] if notes is None else notes).append,
        )
        wake(built.network)
        return built

    return make


@torch.no_grad()
def wake(network: ExpressionNet) -> None:
    """Normalise by the running statistics of some batch: no cut changes them, and no gradient dies away."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = 1.0
    network.train()(torch.rand(64, 1, 48, 48, generator=torch.Generator().manual_seed(1)))
    for module in norms:
        module.momentum = 0.1
    network.eval()


def moves(learner: Learner, batch: Batch, steps: int = 2) -> dict[str, Tensor]:
    """How far each weight moves in so many updates."""
    before = {name: p.detach().clone() for name, p in learner.network.named_parameters()}
    for _ in range(steps):
        learner.update(batch)
    return {name: p.detach() - before[name] for name, p in learner.network.named_parameters()}


def assert_same_moves(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """To a hundredth of each tensor's move, and the rounding of float32 weights of size one."""
    for name, move in ours.items():
        assert (move - theirs[name]).norm() <= 0.01 * move.norm() + 1e-7 * move.numel() ** 0.5, name
    assert torch.stack([move.norm() for move in ours.values()]).median() > 1e-4


@pytest.mark.parametrize("micro", [2, 5, 6, 11])
def test_parts_of_a_batch_add_up_to_the_whole(
    learner: Callable[..., Learner], batch: Batch, micro: int
) -> None:
    whole = moves(learner(), batch)
    cut = moves(learner(loop={"micro_batch": micro}), batch)
    assert_same_moves(cut, whole)


def test_out_of_memory_halves_the_batch_says_so_and_changes_nothing_else(
    learner: Callable[..., Learner], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = moves(learner(), batch)
    notes: list[str] = []
    small = learner(notes)
    forward = small.network.forward
    seen: list[int] = []

    def in_little_memory(x: Tensor) -> dict[str, Tensor]:
        seen.append(len(x))
        if len(x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return forward(x)

    monkeypatch.setattr(small.network, "forward", in_little_memory)
    assert_same_moves(moves(small, batch), whole)
    assert small.micro == 3
    assert seen == [12, 6, 3, 3, 3, 3, 3, 3, 3, 3]  # two refusals, then two steps in four parts
    assert notes == [
        "Out of memory: continuing with 6 faces at once, with accumulated gradients.",
        "Out of memory: continuing with 3 faces at once, with accumulated gradients.",
    ]


def test_weights_that_are_not_finite_are_named_and_not_saved(learner: Callable[..., Learner]) -> None:
    trained = learner()
    trained.check_finite()
    name, weights = list(trained.network.state_dict().items())[3]
    weights.view(-1)[-1] = float("nan")
    with pytest.raises(Diverged, match=f"{re.escape(name)} is no longer finite; it is not saved"):
        trained.check_finite()


def test_a_refusal_in_the_midst_leaves_no_half_gradient(
    learner: Callable[..., Learner], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = moves(learner(), batch, steps=1)
    small = learner(loop={"micro_batch": 6})
    forward = small.network.forward
    calls = iter([False, True])  # the second part of the first attempt does not fit

    def sometimes_full(x: Tensor) -> dict[str, Tensor]:
        if next(calls, False):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return forward(x)

    monkeypatch.setattr(small.network, "forward", sometimes_full)
    assert_same_moves(moves(small, batch, steps=1), whole)


def test_what_a_step_measures_is_what_torch_says_of_the_batch(
    learner: Callable[..., Learner], batch: Batch
) -> None:
    learner_ = learner(loss={"label_smoothing": 0.1, "votes_weight": 0.5})
    with torch.no_grad():
        logits = learner_.network(batch.pixels)
    labels = batch.targets["fer2013"].argmax(1)
    smoothed = functional.cross_entropy(logits["fer2013"], labels, label_smoothing=0.1, reduction="sum")
    votes = functional.cross_entropy(logits["votes"], batch.targets["votes"], reduction="sum")
    right = (logits["fer2013"].argmax(1) == labels).sum()
    plain = functional.cross_entropy(logits["fer2013"], labels, reduction="sum")
    expected = torch.stack([smoothed + 0.5 * votes, right.float(), torch.tensor(float(N)), plain])
    sums, norm = learner_.update(batch)
    torch.testing.assert_close(sums, expected.double(), atol=1e-4, rtol=1e-5)
    gradients = [p.grad.flatten() for p in learner_.network.parameters() if p.grad is not None]
    assert norm.item() == pytest.approx(torch.cat(gradients).double().norm().item(), rel=1e-3)


def test_sam_steps_by_the_gradient_at_the_worst_point_nearby(
    learner: Callable[..., Learner], batch: Batch
) -> None:
    """Foret et al.'s two steps, written out by hand on a copy of the network."""
    by_hand = learner()
    network = by_hand.network
    before = {name: p.detach().clone() for name, p in network.named_parameters()}

    def gradients() -> list[Tensor]:
        logits = network(batch.pixels)
        loss = functional.cross_entropy(logits["fer2013"], batch.targets["fer2013"], label_smoothing=0.1)
        loss = loss + functional.cross_entropy(logits["votes"], batch.targets["votes"])
        return list(torch.autograd.grad(loss, list(network.parameters())))

    first = gradients()
    length = torch.cat([g.flatten() for g in first]).norm()
    with torch.no_grad():
        for p, g in zip(network.parameters(), first, strict=True):
            p.add_(0.05 * g / length)
    second = gradients()
    with torch.no_grad():
        for p, g, worst in zip(network.parameters(), first, second, strict=True):
            p.sub_(0.05 * g / length + 1e-3 * worst)
    expected = {name: p.detach() - before[name] for name, p in network.named_parameters()}
    ours = moves(learner(optimizer={"sam_rho": 0.05}), batch, steps=1)
    assert_same_moves(ours, expected)
    plain = moves(learner(), batch, steps=1)
    assert (plain["heads.votes.weight"] - expected["heads.votes.weight"]).norm() > 1e-5 * length


def test_sam_gathers_statistics_once(learner: Callable[..., Learner], batch: Batch) -> None:
    plain, sam = learner(), learner(optimizer={"sam_rho": 0.05})
    for each in (plain, sam):
        each.network.train()
        each.update(batch)
    statistics = {name: value for name, value in plain.network.named_buffers() if "running" in name}
    for name, value in sam.network.named_buffers():
        if name in statistics:
            torch.testing.assert_close(value, statistics[name])


def test_dropout_and_drop_path_are_of_the_seed(learner: Callable[..., Learner], batch: Batch) -> None:
    def after(seed: int) -> dict[str, Tensor]:
        one = learner(network={"drop_path": 0.5, "drop_rate": 0.5})
        one.network.train()
        return moves(one, replace(batch, seed=seed), steps=1)

    first = after(1)
    torch.rand(7)  # what else draws from the global generator does not matter
    again, other = after(1), after(2)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_bfloat16_computes_the_network_in_bfloat16_and_keeps_the_weights_in_float32(
    learner: Callable[..., Learner], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By PyTorch's own layers, which every CPU has.
    monkeypatch.setattr(kernels, "why_not", lambda: "")
    monkeypatch.setattr(kernels, "install", lambda network: None)
    learner_ = learner(loop={"precision": "bfloat16"})
    forward = learner_.network.forward
    types = set()

    def spying(x: Tensor) -> dict[str, Tensor]:
        logits = forward(x)
        types.update(rows.dtype for rows in logits.values())
        return logits

    monkeypatch.setattr(learner_.network, "forward", spying)
    sums, _ = learner_.update(batch)
    assert types == {torch.bfloat16}
    assert {p.dtype for p in learner_.network.parameters()} == {torch.float32}
    assert torch.isfinite(sums).all()


def test_a_cpu_without_bfloat16_computes_in_float32_and_says_so(
    learner: Callable[..., Learner], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "why_not", lambda: "this CPU is old")
    notes: list[str] = []
    plain = moves(learner(), batch, steps=1)
    fallen = moves(learner(notes, loop={"precision": "bfloat16"}), batch, steps=1)
    assert notes == ["loop.precision='bfloat16': this CPU is old, so the network computes in float32."]
    assert all(torch.equal(value, fallen[name]) for name, value in plain.items())


@pytest.mark.skipif(bool(kernels.why_not()), reason=kernels.why_not() or "it can")
def test_in_bfloat16_on_a_cpu_a_batch_is_learned_by_heart(
    learner: Callable[..., Learner], batch: Batch
) -> None:
    """By the layers in C, which are those of Lite0; its answers end as near as those of float32 do."""
    ends = []
    for precision in ("float32", "bfloat16"):
        one = learner(
            loop={"precision": precision},
            network={"backbone": "tf_efficientnet_lite0", "width": 0.5, "depth": 0.5},
            optimizer={"name": "adamw", "lr": 3e-3},
        )
        one.network.train()
        losses = [float(one.update(batch)[0][3]) / N for _ in range(10)]
        assert losses[0] > 1.5
        ends.append(losses[-1])
    assert max(ends) < 0.5


def test_on_the_cpu_auto_is_float32(learner: Callable[..., Learner]) -> None:
    assert not learner(loop={"precision": "auto"}).bfloat16


def test_activations_are_laid_out_channels_last(learner: Callable[..., Learner], batch: Batch) -> None:
    one = learner()
    layouts: list[bool] = []
    one.network.backbone.get_submodule("conv_stem").register_forward_hook(
        lambda module, inputs, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
    )
    one.update(batch)
    assert layouts == [True]
