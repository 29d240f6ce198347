"""One face: where it is, and which expression it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.emotions import column_name, has_valence, valence
from mien.errors import CardError
from mien.geometry import Box, Point
from mien.images.quality import Quality, warnings_of
from mien.models.card import Head, Limits
from mien.movements.measures import NAMES, Movements
from mien.probabilities import tempered

# The coverage of `Face.set` by default.
_COVERAGE = 0.9
# Without a fitted margin on the card, a certain emotion has more than half of the probability.
_HALF = 0.5
_BOX = ("x", "y", "box_width", "box_height")
# The estimate of yaw from key points, which the limits of the cards are about, is so much larger than that of
# the face mesh: the slope over 92 faces in photos.
_YAW_OF_KEYPOINTS = 1.16
# The warning of a face that the face mesh does not see: in profile, covered, or no face.
NO_LANDMARKS = "no landmarks"


@dataclass(frozen=True)
class Face:
    """The apparent expression of one face. How it looks, not what the person feels.

    Attributes:
        box: (x, y, width, height) in pixels of the image, origin top left; as the detector gave it, so
            parts of it may lie outside the image.
        confidence: the detector's, 0..1, that there is a face; None if no detector was used.
        emotions: name to probability, in the order of the model's card; they sum to 1.
        abstentions: grounds to abstain (``"unknown"``, ``"not a face"``) to the share of votes for each,
            out of all votes; empty for a model that cannot abstain.
        keypoints: the detector's six points (x, y): the two eyes, nose, mouth, the two ears; or None.
        thresholds: coverage, such as ``"0.90"``, to the threshold of the conformal set; from the card.
        certain_margin: the least `margin` of a certain face; from the card, or None.
        votes: what share of people would name each emotion; they sum to 1. None if `emotions` is the
            prediction of one head.
        quality: how well the face can be seen; None for `analyze_crops`.
        warnings: what of it lies outside of what the model was measured on, in words such as ``"blurred"``;
            the limits are on the model's card.
        movements: landmarks, pose of the head and named movements; None if they were not asked for
            (`Analyzer(movements=True)`), or there are no landmarks, which `warnings` says.
    """

    box: Box
    confidence: float | None
    emotions: dict[str, float]
    abstentions: dict[str, float] = field(default_factory=dict)
    keypoints: tuple[Point, ...] | None = None
    thresholds: dict[str, float] = field(default_factory=dict)
    certain_margin: float | None = None
    votes: dict[str, float] | None = None
    quality: Quality | None = None
    warnings: tuple[str, ...] = ()
    movements: Movements | None = None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {share:.2f}" for name, share in self.shown[:3])
        box = ", ".join(f"{value:.0f}" for value in self.box)
        confidence = "" if self.confidence is None else f", confidence={self.confidence:.2f}"
        words = "".join(f"; {word}" for word in (*(["uncertain"] if self.uncertain else []), *self.warnings))
        return f"<Face {shown}{words}; box=({box}){confidence}>"

    @property
    def top(self) -> tuple[str, float]:
        """The most probable emotion and its probability."""
        return self._ranked[0]

    @property
    def second(self) -> tuple[str, float]:
        """The second most probable emotion and its probability."""
        return self._ranked[1]

    @property
    def margin(self) -> float:
        """By how much the most probable emotion leads every other, 0..1.

        With `votes`, the smaller of this lead and of its lead there, -1..1: below 0, most people would name
        another emotion.
        """
        lead, top = self.top[1] - self.second[1], self.top[0]
        if self.votes is None:
            return lead
        return min(lead, self.votes[top] - max(share for name, share in self.votes.items() if name != top))

    @cached_property
    def valence(self) -> float | None:
        """Happy less the strongest of angry, disgust, fear and sad, -1..1; None without all five.

        It is derived from the probabilities as FaceReader derives it from intensities.
        """
        return valence(self.emotions) if has_valence(self.emotions) else None

    @property
    def abstain(self) -> float:
        """The share of votes that name no emotion, 0..1; 0 for a model that cannot abstain."""
        return sum(self.abstentions.values())

    @property
    def abstains(self) -> bool:
        """Whether abstaining has more votes than any emotion."""
        return self.abstain > self.top[1] * (1.0 - self.abstain)

    @property
    def shown(self) -> list[tuple[str, float]]:
        """What to show to people, most probable first.

        The emotions and their probabilities; where the model abstains, the share of all votes for each
        emotion and for each ground to abstain.
        """
        if not self.abstains:
            return list(self._ranked)
        votes = {name: share * (1.0 - self.abstain) for name, share in self.emotions.items()}
        return sorted((votes | self.abstentions).items(), key=lambda item: -item[1])

    def set(self, coverage: float = _COVERAGE) -> tuple[str, ...]:
        """A set of emotions that holds the voters' majority at this coverage, most probable first.

        From the most probable emotion on, until those in the set have more probability together than the
        card's threshold: a confident prediction gives one emotion, a flat one gives many. The coverage was
        measured on held-out faces like FER2013's: it holds on average over such faces, not for each; the
        card has it per emotion.

        Raises:
            CardError: the model's card has no threshold for this coverage.

        Source: adaptive prediction sets, Romano, Sesia & Candès 2020, "Classification with Valid and
        Adaptive Coverage".
        """
        threshold = self.thresholds.get(f"{coverage:.2f}")
        if threshold is None:
            have = ", ".join(self.thresholds) or "none"
            raise CardError(
                f"the model's card has no conformal threshold for coverage {coverage}; it has: {have}."
            )
        found, above = [], 0.0
        for name, probability in self._ranked:
            if above > threshold:
                break
            found.append(name)
            above += probability
        return tuple(found)

    @cached_property
    def uncertain(self) -> bool:
        """Whether the prediction should not be read as one emotion.

        True where it abstains, where the face has `warnings`, or where `margin` is less than the card's. That
        was fitted on held-out faces; the card says how often such faces are uncertain and how often the
        certain ones are right. If the card has no margin: where no emotion has more than half.
        """
        if self.abstains or self.warnings:
            return True
        if self.certain_margin is None:
            return self.top[1] <= _HALF
        return self.margin < self.certain_margin

    def to_dict(self) -> dict[str, Any]:
        """The face as plain values for JSON.

        Probabilities in full precision; box and key points to a hundredth of a pixel. What was not measured
        is not there: `quality`, and `movements`, which are without the landmarks.
        """
        seen: dict[str, Any] = {}
        if self.quality is not None:
            seen["quality"] = self.quality.to_dict()
        if self.quality is not None or self.warnings or self.movements is not None:
            seen["warnings"] = list(self.warnings)
        if self.movements is not None or NO_LANDMARKS in self.warnings:
            seen["movements"] = self.movements and self.movements.to_dict()
        return {
            "box": [round(value, 2) for value in self.box],
            "confidence": self.confidence,
            "top": self.top[0],
            "uncertain": self.uncertain,
            "emotions": dict(self.emotions),
            "abstentions": dict(self.abstentions),
            "keypoints": self.keypoints and [[round(x, 2), round(y, 2)] for x, y in self.keypoints],
            **seen,
        }

    def to_row(self) -> dict[str, Any]:
        """The face as one row of a table, by the names of `face_columns`. Box to a hundredth of a pixel."""
        moved = {} if self.movements is None else self.movements.to_dict()
        return {
            **dict(zip(_BOX, (round(value, 2) for value in self.box), strict=True)),
            "confidence": self.confidence,
            "top": self.top[0],
            "uncertain": self.uncertain,
            **{column_name(name): share for name, share in (self.emotions | self.abstentions).items()},
            **({} if self.valence is None else {"valence": self.valence}),
            **moved,
        }

    # Computed once: a frame of a clip needs the order, and what follows from it, up to ten times.
    @cached_property
    def _ranked(self) -> list[tuple[str, float]]:
        return sorted(self.emotions.items(), key=lambda item: -item[1])


def face_columns(head: Head, *, movements: bool = False) -> list[str]:
    """The names of `Face.to_row` for a model's head: box, confidence, top, uncertain, each label, valence.

    With `movements`, theirs follow.
    """
    derived = ["valence"] if has_valence(head.labels) else []
    moved = NAMES if movements else ()
    return [*_BOX, "confidence", "top", "uncertain", *label_columns(head), *derived, *moved]


def label_columns(head: Head) -> list[str]:
    """The columns of probabilities: each emotion, then each ground to abstain."""
    emotions = [label for label in head.labels if label not in head.abstain]
    return [column_name(label) for label in (*emotions, *head.abstain)]


@dataclass(frozen=True)
class Shares:
    """What a row of probabilities says: `emotions`, `abstentions` and `votes` as of a `Face`."""

    emotions: dict[str, float]
    abstentions: dict[str, float]
    votes: dict[str, float] | None = None


def read_face(
    probabilities: NDArray[np.float32],
    head: Head,
    *,
    box: Sequence[float],
    confidence: float | None = None,
    keypoints: NDArray[np.floating[Any]] | None = None,
    quality: Quality | None = None,
    limits: Limits = MappingProxyType({}),
    movements: tuple[Movements | None] | None = None,
) -> Face:
    """The face of one row of probabilities (C,), columns as `head` names them.

    The grounds to abstain are kept apart, and the emotions are scaled to sum to 1. For a head that is
    computed from two others, the row holds the probabilities of both, (C + K,): `OnnxModel.rows`. The limits
    of the quality are the card's. `movements` holds those of the face, or None where it has no landmarks; it
    is None itself where nothing was measured.
    """
    (shares,) = read_shares(probabilities[None], head)
    return face_of(
        shares,
        head,
        box=box,
        confidence=confidence,
        keypoints=keypoints,
        quality=quality,
        limits=limits,
        movements=movements,
    )


def face_of(
    shares: Shares,
    head: Head,
    *,
    box: Sequence[float],
    confidence: float | None = None,
    keypoints: NDArray[np.floating[Any]] | None = None,
    quality: Quality | None = None,
    limits: Limits = MappingProxyType({}),
    movements: tuple[Movements | None] | None = None,
) -> Face:
    """The face with these shares; the other arguments are as of `read_face`."""
    x, y, width, height = map(float, box)
    points = None if keypoints is None else np.asarray(keypoints, np.float64).tolist()
    return Face(
        box=(x, y, width, height),
        confidence=None if confidence is None else float(confidence),
        emotions=shares.emotions,
        abstentions=shares.abstentions,
        keypoints=points and tuple(map(tuple, points)),
        thresholds=dict(head.conformal),
        certain_margin=head.certain_margin,
        votes=shares.votes,
        quality=quality,
        warnings=face_warnings(quality, limits, movements),
        movements=None if movements is None else movements[0],
    )


def read_shares(rows: NDArray[np.float32], head: Head) -> list[Shares]:
    """The emotions, grounds to abstain and votes of each row, (N, C) or (N, C + K), see `read_face`."""
    votes: list[dict[str, float] | None] = [None] * len(rows)
    if head.combination is not None:
        first, second = np.split(rows, [len(head.labels)], axis=1)
        votes = [_without(dict(zip(head.labels, row, strict=True)), head.abstain) for row in first.tolist()]
        combined = tempered(head.combination.apply(first, second, head.labels), head.temperature).tolist()
    else:
        combined = rows.tolist()
    shares = [dict(zip(head.labels, row, strict=True)) for row in combined]
    return [
        Shares(_without(row, head.abstain), {name: row[name] for name in head.abstain}, of_voters)
        for row, of_voters in zip(shares, votes, strict=True)
    ]


def face_warnings(
    quality: Quality | None, limits: Limits, movements: tuple[Movements | None] | None
) -> tuple[str, ...]:
    """What of a face lies outside of the limits; arguments as of `read_face`.

    Of the yaw, the face mesh knows better than the key points.
    """
    if movements is None:
        return () if quality is None else warnings_of(quality, limits)
    others = {name: limit for name, limit in limits.items() if name != "yaw"}
    found = () if quality is None else warnings_of(quality, others)
    if movements[0] is None:
        return (*found, NO_LANDMARKS)
    _, most = limits.get("yaw", (None, None))
    turned = most is not None and abs(movements[0].head_yaw) * _YAW_OF_KEYPOINTS > most
    return (*found, "turned") if turned else found


def _without(shares: dict[str, float], left_out: Sequence[str]) -> dict[str, float]:
    """The shares of all other names, scaled to sum to 1."""
    kept = {name: value for name, value in shares.items() if name not in left_out}
    if not left_out:
        return kept
    total = sum(kept.values())
    # Nothing left in float32: no emotion is likelier than another.
    return {name: value / total if total else 1 / len(kept) for name, value in kept.items()}
