"""Teachers: finished networks whose predictions become a part of a run's targets.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": FER2013's labels are noisy, and a
teacher's prediction shows what else a face may express. Beyer et al. 2022, "Knowledge distillation: A good
teacher is patient and consistent", for showing teacher and student the same augmented face.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from mien.errors import RecipeError
from mien.models.tta import TtaCrops
from mien.runs.recipe_sections import DistilRecipe, LoopRecipe
from mien.training.classifier import load_network
from mien.training.network.model import as_input, compiled, has_bfloat16


class Teachers:
    """The mean prediction of several networks.

    Args:
        spec: which networks, and their share of the targets.
        heads: of the student; every teacher must have them.
        device: where they run.
        loop: says whether they are compiled, and in which precision they predict on batches on a GPU.

    Raises:
        ModelError, UnknownModel, CardError: a teacher cannot be loaded.
        RecipeError: a teacher lacks a head.
    """

    def __init__(
        self, spec: DistilRecipe, heads: tuple[str, ...], device: torch.device, loop: LoopRecipe
    ) -> None:
        self.spec, self.heads, self.device = spec, heads, device
        self._networks = [load_network(name).to(device) for name in spec.teachers]
        self._bfloat16 = loop.precision != "float32" and has_bfloat16(device)
        for name, network in zip(spec.teachers, self._networks, strict=True):
            if lacking := [head for head in heads if head not in network.heads]:
                raise RecipeError(
                    f"distil.teachers: {name} has no head {lacking[0]!r}, which this run trains. Choose a "
                    "teacher that was trained with votes, or set data.votes=false."
                )
        self._forward = [compiled(each) if loop.compile else each for each in self._networks]

    @torch.no_grad()
    def predict(self, pixels: Tensor) -> dict[str, Tensor]:
        """Probabilities (N, C) by head, the mean over the teachers, of faces (N, 1, S, S) in 0..1."""
        pixels = pixels.to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            each = [forward(pixels) for forward in self._forward]
        return {
            head: torch.stack([self._probabilities(logits[head]) for logits in each]).mean(0)
            for head in self.heads
        }

    def predict_faces(self, faces: Tensor, *, batch: int = 256) -> dict[str, Tensor]:
        """Probabilities (N, C) by head of whole faces, uint8 (N, S, S): the mean over the crops of each.

        The crops are those of `distil.input`: the face and its mirror image, or the ten of `--tta`.
        """
        parts = [self._mean_of_crops(faces[start : start + batch]) for start in range(0, len(faces), batch)]
        return {head: torch.cat([part[head] for part in parts]) for head in self.heads}

    def blend(self, targets: dict[str, Tensor], predictions: dict[str, Tensor]) -> dict[str, Tensor]:
        """Targets (N, C) by head with the teachers' share in them; without votes, a face has theirs alone."""
        share = self.spec.weight
        blended = {}
        for head, target in targets.items():
            known = target.sum(1, keepdim=True) > 0
            mean = (1 - share) * target + share * predictions[head]
            blended[head] = torch.where(known, mean, predictions[head])
        return blended

    def _mean_of_crops(self, faces: Tensor) -> dict[str, Tensor]:
        each = [self.predict(as_input(crop)) for crop in self._crops(faces)]
        return {head: torch.stack([predictions[head] for predictions in each]).mean(0) for head in self.heads}

    def _crops(self, faces: Tensor) -> Iterator[Tensor]:
        """The crops of uint8 faces (N, S, S), each of that shape."""
        if self.spec.input == "crops":
            for crop in TtaCrops().of(faces.cpu().numpy()):
                yield torch.from_numpy(crop).to(faces.device)
        else:
            yield from (faces, faces.flip(-1))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return functional.softmax(logits.float() / self.spec.temperature, 1)
