"""Optimisers, schedules, clipping, SAM, the average of weights, and batches that shrink."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from mien.errors import TrainError
from mien.runs.recipe_sections import OptimizerRecipe, ScheduleRecipe
from mien.training.optim import (
    Ema,
    build_optimizer,
    build_scheduler,
    clip,
    parts,
    sharpness,
    with_smaller_batches,
)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


def backward(network: nn.Module) -> Tensor:
    torch.manual_seed(1)
    loss: Tensor = nn.functional.cross_entropy(network(torch.randn(8, 1, 8, 8)), torch.arange(8) % 3)
    loss.backward()
    return loss.detach()


def test_adam_decays_everything_as_the_reports_did() -> None:
    optimizer = build_optimizer(OptimizerRecipe(name="adam", weight_decay=0.1), net())
    assert type(optimizer) is torch.optim.Adam
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1]


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_others_decay_weights_and_leave_biases_and_normalisation(name: str, kind: type) -> None:
    network = net()
    optimizer = build_optimizer(OptimizerRecipe(name=name, weight_decay=0.1), network)  # type: ignore[arg-type]
    assert type(optimizer) is kind
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(network.parameters()))
    for module in network:
        for name, parameter in module.named_parameters():
            weights = name == "weight" and not isinstance(module, nn.BatchNorm2d)
            assert decay[id(parameter)] == (0.1 if weights else 0.0)


def test_sgd_is_nesterovs() -> None:
    assert build_optimizer(OptimizerRecipe(name="sgd", momentum=0.8), net()).param_groups[0]["nesterov"]
    assert not build_optimizer(OptimizerRecipe(name="sgd", momentum=0.0), net()).param_groups[0]["nesterov"]


def rates(spec: ScheduleRecipe, lr: float, steps: int) -> list[float]:
    optimizer = torch.optim.SGD(net().parameters(), lr)
    scheduler = build_scheduler(spec, optimizer, lr, steps)
    found = []
    for _ in range(spec.epochs * steps):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


def test_onecycle_is_torchs_over_the_whole_run() -> None:
    optimizer = torch.optim.SGD(net().parameters(), 0.3, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, epochs=4, steps_per_epoch=10)
    expected = []
    for _ in range(40):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    ours = build_scheduler(ScheduleRecipe(name="onecycle", epochs=4), optimizer, 0.3, 10)
    found = []
    for _ in range(40):
        found.append(ours.get_last_lr()[0])
        optimizer.step()
        ours.step()
    assert found == expected


def test_cosine_warms_up_in_a_line_and_falls_to_zero() -> None:
    found = rates(ScheduleRecipe(name="cosine", epochs=4, warmup_epochs=0.5), 0.2, 10)
    assert found[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    expected = [0.1 * (1 + math.cos(math.pi * (step - 5) / 35)) for step in range(5, 40)]
    assert found[5:] == pytest.approx(expected)


def test_clip_by_value_cuts_each_number_and_tells_the_norm_before() -> None:
    network = net()
    backward(network)
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    norm = clip(OptimizerRecipe(clip_value=0.01), list(network.parameters()))
    expected = torch.cat([g.flatten() for g in gradients]).norm()
    torch.testing.assert_close(norm, expected)
    for p, before in zip(network.parameters(), gradients, strict=True):
        assert p.grad is not None
        assert torch.equal(p.grad, before.clamp(-0.01, 0.01))


def test_clip_by_norm_is_torchs() -> None:
    ours, theirs = net(), net()
    backward(ours)
    backward(theirs)
    norm = clip(OptimizerRecipe(clip_norm=0.5), list(ours.parameters()))
    torch.testing.assert_close(norm, clip_grad_norm_(theirs.parameters(), 0.5))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert a.grad is not None
        torch.testing.assert_close(a.grad, b.grad)
    after = torch.cat([p.grad.flatten() for p in ours.parameters() if p.grad is not None]).norm()
    assert after.item() == pytest.approx(0.5, abs=1e-4)


def test_without_clipping_gradients_stay_as_they_are() -> None:
    network = net()
    backward(network)
    before = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    clip(OptimizerRecipe(), list(network.parameters()))
    after = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_sam_climbs_by_rho_along_the_gradient_and_comes_back() -> None:
    network = net()
    backward(network)
    before = [p.detach().clone() for p in network.parameters()]
    gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    with sharpness(0.05, network):
        moved = torch.cat(
            [(p - b).flatten() for p, b in zip(network.parameters(), before, strict=True)]
        ).detach()
        torch.testing.assert_close(moved, 0.05 * gradients / gradients.norm(), atol=1e-7, rtol=1e-4)
    assert all(torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))


def test_inside_sam_the_loss_is_higher_and_statistics_stay() -> None:
    network = net()
    low = backward(network)
    statistics = network[1].running_mean.clone()  # type: ignore[union-attr, operator]
    with sharpness(0.5, network):
        high = backward(network)
    assert high > low
    assert torch.equal(network[1].running_mean, statistics)  # type: ignore[arg-type]
    assert network[1].momentum == 0.1


def test_sam_comes_back_from_an_error_too() -> None:
    network = net()
    backward(network)
    before = [p.detach().clone() for p in network.parameters()]
    with pytest.raises(KeyError), sharpness(0.5, network):
        raise KeyError
    assert all(torch.equal(p, b) for p, b in zip(network.parameters(), before, strict=True))


def test_the_average_follows_its_definition_step_by_step() -> None:
    network = net()
    ema = Ema(network, 0.6)
    expected = network[0].weight.detach().clone()  # type: ignore[union-attr, operator]
    for step in range(12):
        with torch.no_grad():
            network[0].weight.add_(1.0)  # type: ignore[union-attr, operator]
        ema.update(network, step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network[0].weight.detach()  # type: ignore[operator]
    torch.testing.assert_close(ema.average["0.weight"], expected)


def test_the_average_takes_statistics_along_and_counts_as_they_are() -> None:
    network = net()
    ema = Ema(network, 0.5)
    backward(network)
    ema.update(network, 100)
    mean = network[1].running_mean  # type: ignore[union-attr]
    torch.testing.assert_close(ema.average["1.running_mean"], mean / 2)
    assert ema.average["1.num_batches_tracked"] == 1


def test_the_average_is_in_the_network_inside_and_the_networks_own_behind() -> None:
    network = net()
    ema = Ema(network, 0.5)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    ema.average = {name: value + 1 for name, value in ema.average.items()}
    with ema.applied(network):
        state = network.state_dict()
        assert all(torch.equal(value, ema.average[name]) for name, value in state.items())
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())
    with pytest.raises(KeyError), ema.applied(network):
        raise KeyError
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())


# ---- memory ---------------------------------------------------------------------------------------

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU_MESSAGE)], ids=["cuda", "cpu"]
)
def test_out_of_memory_halves_until_it_fits_and_says_so(error: RuntimeError) -> None:
    tried: list[int] = []
    notes: list[str] = []

    def work(micro: int) -> str:
        tried.append(micro)
        if micro > 13:
            raise error
        return "done"

    assert with_smaller_batches(work, 50, notes.append) == ("done", 13)
    assert tried == [50, 25, 13]
    assert [note.split(":")[0] for note in notes] == ["Out of memory"] * 2
    assert "continuing with 13 faces at once, with accumulated gradients" in notes[-1]


def test_out_of_memory_with_two_faces_is_the_end_with_advice() -> None:
    def work(micro: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(TrainError, match=r"two faces at once\. Lower network\.size"):
        with_smaller_batches(work, 8, lambda note: None)


def test_other_errors_pass_through() -> None:
    def work(micro: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        with_smaller_batches(work, 8, pytest.fail)


@pytest.mark.parametrize("n", [2, 3, 7, 16, 31, 96, 128])
@pytest.mark.parametrize("micro", [2, 3, 5, 16, 200])
def test_parts_cover_the_batch_and_leave_no_face_alone(n: int, micro: int) -> None:
    cut = parts(n, micro)
    assert [i for part in cut for i in range(part.start, part.stop)] == list(range(n))
    sizes = [part.stop - part.start for part in cut]
    assert min(sizes) >= 2
    assert max(sizes) <= (3 if micro == 2 and n % 2 else micro)
    assert max(sizes) - min(sizes) <= 1
