"""The state of a run as a checkpoint and back: everything that it needs to be resumed to the bit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from mien.errors import ResumeError
from mien.runs.history import Epoch
from mien.training.checkpoint import Checkpoint, pack_optimizer, unpack_optimizer
from mien.training.learner import Learner


@dataclass(eq=False)
class Position:
    """How far a run has come.

    Attributes:
        epoch, step: finished epochs, and finished steps of the present one.
        sums: of the present epoch, over all processes, (5,): objective, correct predictions, faces, gradient
            norms, label loss.
        seconds: spent so far.
        history: the finished epochs.
    """

    sums: Tensor
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)


def pack(learner: Learner, position: Position) -> Checkpoint:
    """A run as a checkpoint."""
    states, groups = pack_optimizer(learner.optimizer)
    tensors = {f"network/{name}": value for name, value in learner.network.state_dict().items()}
    tensors |= {f"optimizer/{name}": value for name, value in states.items()}
    if learner.ema:
        tensors |= {f"ema/{name}": value for name, value in learner.ema.average.items()}
    tensors["sums"] = position.sums
    # A schedule's functions are built anew from the recipe.
    scheduler = {key: value for key, value in learner.scheduler.state_dict().items() if key != "lr_lambdas"}
    facts: dict[str, Any] = {
        "epoch": position.epoch,
        "step": position.step,
        "micro": learner.micro,
        "seconds": position.seconds,
        "history": [asdict(row) for row in position.history],
        "groups": groups,
        "scheduler": scheduler,
    }
    return Checkpoint(tensors, facts)


def unpack(checkpoint: Checkpoint, learner: Learner) -> Position:
    """Restore a learner from what `pack` stored; returns the position of the run.

    Raises:
        ResumeError: the checkpoint is of another kind of run.
    """
    facts = checkpoint.facts
    try:
        learner.network.load_state_dict(checkpoint.part("network"))
        unpack_optimizer(learner.optimizer, checkpoint.part("optimizer"), facts["groups"])
        schedule = learner.scheduler.state_dict()
        learner.scheduler.load_state_dict(schedule | facts["scheduler"])
        if learner.ema:
            average = checkpoint.part("ema")
            learner.ema.average = {
                name: value.copy_(average[name]) for name, value in learner.ema.average.items()
            }
        learner.micro = facts["micro"]
        history = [Epoch(**row) for row in facts["history"]]
        # Sums that an older checkpoint lacks are unknown.
        sums = torch.full((5,), torch.nan, dtype=learner.sums_type, device=learner.device)
        saved = checkpoint.tensors["sums"]
        sums[: len(saved)] = saved.to(sums)
        return Position(sums, facts["epoch"], facts["step"], facts["seconds"], history)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]  # torch goes on to list every tensor
        raise ResumeError(
            f"the checkpoint does not fit the run's recipe ({type(error).__name__}: {reason}). "
            "Was recipe.toml changed? Start a new run; --init takes this one's weights along."
        ) from error
