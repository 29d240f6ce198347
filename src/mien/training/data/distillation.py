"""Teachers: finished networks whose answers become a part of what a run is asked to say.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network". FER2013's labels are noisy, and a
teacher's answer tells how a face may be taken otherwise; Beyer et al. 2022, "Knowledge distillation: A good
teacher is patient and consistent", for showing teacher and student the same augmented view.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from mien.errors import RecipeError
from mien.models.tta import Views
from mien.runs import recipe as recipes
from mien.training.classifier import load_network
from mien.training.validation import as_input


class Teachers:
    """The mean answer of several networks.

    Args:
        spec: which, and how much they count.
        heads: of the student; every teacher must have them.
        device: where they work.

    Raises:
        ModelError, UnknownModel, CardError: a teacher cannot be loaded.
        RecipeError: a teacher lacks a head.
    """

    def __init__(self, spec: recipes.Distil, heads: tuple[str, ...], device: torch.device) -> None:
        self.spec, self.heads = spec, heads
        self._networks = [load_network(name).to(device) for name in spec.teachers]
        for name, network in zip(spec.teachers, self._networks, strict=True):
            if lacking := [head for head in heads if head not in network.heads]:
                raise RecipeError(
                    f"distil.teachers: {name} has no head {lacking[0]!r}, which this run trains. Choose a "
                    "teacher that was trained with votes, or set data.votes=false."
                )

    @torch.no_grad()
    def answers(self, pixels: Tensor) -> dict[str, Tensor]:
        """Of faces (N, 1, S, S) in 0..1: probabilities (N, C) by head, the mean of the teachers'."""
        pixels = pixels.to(memory_format=torch.channels_last)
        each = [network(pixels) for network in self._networks]
        return {
            head: torch.stack([self._probabilities(logits[head]) for logits in each]).mean(0)
            for head in self.heads
        }

    def at_leisure(self, faces: Tensor, *, batch: int = 256) -> dict[str, Tensor]:
        """Of whole faces, uint8 (N, S, S): the mean answer about their views, those of `distil.views`."""
        parts = [self._of_views(faces[start : start + batch]) for start in range(0, len(faces), batch)]
        return {head: torch.cat([part[head] for part in parts]) for head in self.heads}

    def blend(self, targets: dict[str, Tensor], answers: dict[str, Tensor]) -> dict[str, Tensor]:
        """Targets (N, C) by head with the teachers' share in them; a face without votes has theirs alone."""
        share = self.spec.weight
        blended = {}
        for head, target in targets.items():
            known = target.sum(1, keepdim=True) > 0
            blended[head] = torch.where(known, (1 - share) * target + share * answers[head], answers[head])
        return blended

    def _of_views(self, faces: Tensor) -> dict[str, Tensor]:
        """The mean answer (N, C) by head about the views of a batch of faces."""
        answers = [self.answers(as_input(view)) for view in self._views(faces)]
        return {head: torch.stack([answer[head] for answer in answers]).mean(0) for head in self.heads}

    def _views(self, faces: Tensor) -> Iterator[Tensor]:
        """The views of uint8 faces (N, S, S), each of that shape."""
        if self.spec.views == "crops":
            for view in Views().of(faces.cpu().numpy()):
                yield torch.from_numpy(view).to(faces.device)
        else:
            yield from (faces, faces.flip(-1))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return functional.softmax(logits.float() / self.spec.temperature, 1)
