"""One prediction from two heads: how people would vote, and which label the data would have.

The two kinds of annotation differ: on 38 % of FER2013's faces the label is not the votes' majority. Both
have a prior: the data holds few faces of disgust and fear, and voters choose neutral where they doubt. A head
that is computed from both, with one number added per emotion, finds the rare emotions more often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.probabilities import TINY


@dataclass(frozen=True)
class Combination:
    """How a head is computed from two others.

    The logarithms of the emotions' probabilities are averaged and the biases added. The result is scaled to
    what the first head gives these emotions together; its other columns, such as contempt, stay.

    Attributes:
        first: the name of the head that has the same labels.
        second: the name of the other head; its labels are the keys of `bias`, in order.
        weight: the share of the second head in the mean of logarithms, 0..1.
        bias: emotion to what is added to its logarithm.

    Source: a product of experts (Hinton 2002) with logit adjustment (Menon et al. 2021, arXiv:2007.07314).
    """

    first: str
    second: str
    weight: float
    bias: dict[str, float]

    def apply(
        self, first: NDArray[np.floating], second: NDArray[np.floating], labels: tuple[str, ...]
    ) -> NDArray[np.float32]:
        """Probabilities (N, C) of the combined head, columns as in `labels`.

        Args:
            first: probabilities (N, C) of the first head.
            second: probabilities (N, K) of the second head, columns as in `bias`.
            labels: of the first head.
        """
        combined = np.array(first, np.float32)
        columns = [labels.index(name) for name in self.bias]
        votes = np.maximum(combined[:, columns], TINY)
        logarithms = (1 - self.weight) * np.log(votes) + self.weight * np.log(np.maximum(second, TINY))
        logarithms = logarithms + np.array(list(self.bias.values()), np.float32)
        shares = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
        shares *= combined[:, columns].sum(axis=1, keepdims=True) / shares.sum(axis=1, keepdims=True)
        combined[:, columns] = shares
        return combined
