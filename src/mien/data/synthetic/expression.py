"""The expression of a drawn face in action units, and the votes of simulated annotators.

Source: Ekman, Friesen, Hager 2002, "Facial Action Coding System", and its emotion prototypes (EMFACS).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.emotions import FER2013, VOTES

Floats = NDArray[np.float64]

# The action units that can be drawn; the columns of every array of units.
UNITS: tuple[str, ...] = (
    "inner_brow_raiser",  # AU1
    "outer_brow_raiser",  # AU2
    "brow_lowerer",  # AU4
    "upper_lid_raiser",  # AU5
    "cheek_raiser",  # AU6
    "lid_tightener",  # AU7
    "nose_wrinkler",  # AU9
    "upper_lip_raiser",  # AU10
    "lip_corner_puller",  # AU12
    "lip_corner_depressor",  # AU15
    "chin_raiser",  # AU17
    "lip_stretcher",  # AU20
    "lip_tightener",  # AU23
    "lips_part",  # AU25
    "jaw_drop",  # AU26
)

_PROTOTYPES: dict[str, dict[str, float]] = {
    "angry": {
        "brow_lowerer": 1.0,
        "upper_lid_raiser": 0.35,
        "lid_tightener": 0.7,
        "lip_tightener": 1.0,
        "chin_raiser": 0.5,
    },
    "disgust": {
        "nose_wrinkler": 1.0,
        "upper_lip_raiser": 1.0,
        "brow_lowerer": 0.35,
        "cheek_raiser": 0.3,
        "lip_corner_depressor": 0.35,
    },
    "fear": {
        "inner_brow_raiser": 1.0,
        "outer_brow_raiser": 0.35,
        "brow_lowerer": 0.55,
        "upper_lid_raiser": 0.8,
        "lip_stretcher": 1.0,
        "lips_part": 0.8,
        "jaw_drop": 0.15,
    },
    "happy": {"cheek_raiser": 0.9, "lip_corner_puller": 1.0, "lips_part": 0.6},
    "sad": {
        "inner_brow_raiser": 1.0,
        "brow_lowerer": 0.4,
        "lip_corner_depressor": 1.0,
        "chin_raiser": 0.5,
        "lid_tightener": 0.2,
    },
    "surprise": {
        "inner_brow_raiser": 0.9,
        "outer_brow_raiser": 1.0,
        "upper_lid_raiser": 1.0,
        "lips_part": 0.5,
        "jaw_drop": 1.0,
    },
    "neutral": {},
}

# (7, units): the units of each FER2013 emotion at full strength.
PROTOTYPES: Floats = np.array([[_PROTOTYPES[name].get(unit, 0.0) for unit in UNITS] for name in FER2013])

ANNOTATORS = 10

# Contempt, unknown and not a face are chosen this often for every face.
_OTHER_VOTES = (0.012, 0.02, 0.003)
# How often annotators confuse similar expressions: their log odds are the squared distance over this.
_CONFUSION = 0.42


def vote_probabilities(units: Floats) -> Floats:
    """The probability that an annotator chooses each of the ten votes: (N, 10), rows sum to 1.

    Emotions whose prototypes are near to the action units (N, units) are more probable. Weak and mixed
    expressions lie between prototypes, so annotators disagree on them.
    """
    distance = ((units[:, None, :] - PROTOTYPES[None]) ** 2).sum(axis=2)
    odds = np.exp((distance.min(axis=1, keepdims=True) - distance) / _CONFUSION)
    emotions = odds / odds.sum(axis=1, keepdims=True) * (1.0 - sum(_OTHER_VOTES))
    return np.hstack([emotions, np.tile(_OTHER_VOTES, (len(units), 1))])


def draw_votes(units: Floats, generator: np.random.Generator) -> NDArray[np.uint8]:
    """The votes of ten simulated annotators: (N, 10) counts in the order of `mien.emotions.VOTES`."""
    edges = np.cumsum(vote_probabilities(units), axis=1)[:, None, :-1]
    choices = (generator.random((len(units), ANNOTATORS, 1)) >= edges).sum(axis=2)
    counts: NDArray[np.uint8] = (choices[:, :, None] == np.arange(len(VOTES))).sum(axis=1).astype(np.uint8)
    return counts


def mixed_units(
    labels: NDArray[np.int64], intensity: Floats, others: NDArray[np.int64], share: Floats
) -> Floats:
    """Action units (N, units) of emotions `labels` at an `intensity`, with a `share` of `others` mixed in."""
    blend = (1.0 - share)[:, None] * PROTOTYPES[labels] + share[:, None] * PROTOTYPES[others]
    return intensity[:, None] * blend
