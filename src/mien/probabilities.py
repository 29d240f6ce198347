"""Logits to probabilities, and temperatures on either. All matrices are (N, C), one row per face."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The smallest normal float32: a probability of 0 has no logarithm.
TINY = float(np.finfo(np.float32).tiny)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities of logits (N, C), in the same floating type; rows sum to 1. No rows give no rows."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    shares: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def tempered(probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """The probabilities (N, C) as if their logits had been divided by the temperature.

    Above 1 they become more even, below 1 more confident; the most probable class stays. A model whose
    probabilities already hold a temperature has the product of both afterwards.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """
    # log p differs from the logits by one constant per row, which the softmax takes out again.
    return softmax(np.log(np.maximum(probabilities.astype(np.float64), TINY)) / temperature)
