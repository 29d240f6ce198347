"""Several classifiers as one: the plain mean of their probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import UsageError
from mien.models.classifier import Classifier


@dataclass(frozen=True)
class Ensemble:
    """A classifier that gives the mean of its members' probabilities, each counting the same.

    Weights that are fitted to a split, or members that are chosen on it, would make figures on that split too
    good; a uniform mean of members that were named beforehand has nothing to fit.

    Raises:
        UsageError: no members, or members whose columns differ.

    Source: Lakshminarayanan et al. 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep
    Ensembles", section 2.4.
    """

    members: tuple[Classifier, ...]
    name: str = "ensemble"

    def __post_init__(self) -> None:
        if not self.members:
            raise UsageError("an ensemble needs a member.")
        for member in self.members[1:]:
            if member.labels != self.labels:
                raise UsageError(
                    f"the members of an ensemble must have the same labels: {self.members[0].name} has "
                    f"{', '.join(self.labels)}, {member.name} {', '.join(member.labels)}."
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of `predict`, in order."""
        return self.members[0].labels

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (N, C) of gray faces, uint8 (N, H, W); rows sum to 1."""
        total = np.zeros((len(crops), len(self.labels)), np.float64)
        for member in self.members:
            total += member.predict(crops)
        mean: NDArray[np.float32] = (total / len(self.members)).astype(np.float32)
        return mean
