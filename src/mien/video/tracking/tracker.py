"""Stable identities through a clip: matches the faces of each frame to those of the frame before.

A face is followed by where it is, how it moves and what it looks like: the correlation of 64 grey values
in every frame, and a portrait in those on which the detector ran. A track ends after `lost_s` without the
face, and at a cut. Who appears is somebody new, or a person who was seen before: `People` decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.geometry import Box, iou
from mien.video.tracking.assignment import assign
from mien.video.tracking.people import People
from mien.video.tracking.portrait import Portrait, likeness, unit

Appearance = NDArray[np.float32]

_APPEARANCE_SIDE = 8
# Of 800 faces of FER2013, appearances of two people correlate above 0.57 in 5 % of pairs and above 0.70 in
# 1 %; those of one face, shifted, turned and scaled as a detector's boxes are, above 0.83 in 95 %.
_SAME_AFTER_LOSS = 0.6
# How far a face may be from where it was expected, in widths of a face: at once, and more for each second
# unseen. A face that crosses a 720p frame in a second moves about 0.3 widths from frame to frame.
_REACH, _REACH_PER_S, _REACH_MOST = 0.6, 2.0, 1.5
# If it was unseen for so long, places count half as much, and a face that looks the same may be so far away.
_JUMP_S, _JUMP_REACH = 0.15, 3.0
_SPARSE_S = 0.3
# The likeness, see `portrait.likeness`, below which a face is not the one that was seen a moment ago, or is
# not one that was longer out of sight; and from which on it surely is.
_OTHER_AT_ONCE, _OTHER_LATER, _SURE = -3.5, -2.0, 1.5
_LOOKS = 6  # so many portraits of a face that has no number yet
_GROWTH = math.log(1.6)  # and by how much larger or smaller it may be
_APPEARANCE_WEIGHT = 0.6  # an appearance that does not correlate costs as much as 0.6 widths
# Above what a face that goes on costs; below what two costly pairs cost that part a cheap one.
_ALONE_COST = 1.6
_UNSEEN_S = 0.25  # longer unseen than that, a face must also look the same
_MOTION_S = 0.3  # motion is averaged over about so long
_COASTING_S = 0.5  # and dies away so fast while a face is unseen
# A new face that may be of somebody known is numbered so long after its first sighting at the latest, and
# sooner if it has a portrait: half hidden it looks like nobody, and a number is for good.
DOUBT_S, _LOOK_S = 0.95, 0.45
_NEW_APPEARANCE = 0.2  # how much of an appearance is renewed at each sighting
_ALONE = 0.1  # an appearance is renewed only while no other face overlaps it by more


@dataclass(eq=False)
class Track:
    """One face followed through time.

    Attributes:
        number: tells tracks apart, from 1, in the order of their first sighting.
        face_id: the person's number for users, from 1 in the order of confirmation; None until confirmed.
        box: where it was seen last.
        velocity: of its centre, in pixels a second.
        appearance: 64 grey values of mean 0 and length 1; None where no crop was given.
        portrait, looked_s: the newest, and when it was taken; None before the first.
        looks: its first portraits, by which it may be known.
        born_s, seen_s: when it was first and last seen.
        born_box: where it was seen first.
        first: its first 8 x 8 gray values; None before `change_from_first`.
        hits: in how many frames it was seen.
    """

    number: int
    box: Box
    born_s: float
    seen_s: float
    appearance: Appearance | None = None
    portrait: Portrait | None = None
    looked_s: float = -math.inf
    looks: list[Portrait] = field(default_factory=list)
    face_id: int | None = None
    velocity: tuple[float, float] = (0.0, 0.0)
    hits: int = 1
    born_box: Box | None = None
    first: NDArray[np.int16] | None = None

    def change_from_first(self, small: NDArray[np.uint8]) -> float:
        """By how many gray levels a shrunk crop, uint8 (8, 8), differs from the first one on average."""
        values = small.astype(np.int16)
        if self.first is None:
            self.first = values
        return int(np.abs(values - self.first).sum()) / values.size

    def expected(self, time_s: float) -> Box:
        """Where it should be now, if it goes on as it moved."""
        # The integral of a velocity that dies away while the face is unseen.
        coasted = _COASTING_S * -math.expm1(-max(0.0, time_s - self.seen_s) / _COASTING_S)
        x, y, width, height = self.box
        return (x + self.velocity[0] * coasted, y + self.velocity[1] * coasted, width, height)

    def is_in_view(self) -> bool:
        """Whether more than half of the face was in the frame when it was seen first."""
        return not self.looks or float(self.looks[0].seen.mean()) > 0.5


@dataclass(frozen=True, eq=False)
class Sighting:
    """A face in one frame, as `Tracker.update` takes it."""

    box: Box
    appearance: Appearance | None
    portrait: Portrait | None


@dataclass
class Tracker:
    """Tracks faces from frame to frame.

    Attributes:
        confirm_s: a face is confirmed, and numbered, when it has been seen for so long.
        lost_s: a face that was not seen for so long is given up.
        people: numbers people, and may know those who return.
        tracks: the faces that are followed now.
        ended: those that a cut ended before the last frame.
    """

    confirm_s: float = 0.1
    lost_s: float = 2.0
    people: People = field(default_factory=People)
    tracks: list[Track] = field(default_factory=list)
    ended: list[Track] = field(default_factory=list)
    _last_s: float | None = None
    _numbers: int = 0
    _updates: int = 0

    def update(
        self,
        time_s: float,
        boxes: Sequence[Box],
        appearances: Sequence[Appearance | None],
        portraits: Sequence[Portrait | None] = (),
        *,
        cut: bool = False,
    ) -> list[Track]:
        """The track of each box of the next frame, in the boxes' order.

        `appearances` are those of `appearance_of`, one per box, and `portraits` those of `portrait_of`, None
        where the detector did not run. `cut`: this frame begins a new scene.
        """
        looks = portraits or [None] * len(boxes)
        faces = [Sighting(*it) for it in zip(boxes, appearances, looks, strict=True)]
        self.ended = []
        if cut:
            self.finish()
            self.ended, self.tracks = self.tracks, []
        self.tracks = [track for track in self.tracks if time_s - track.seen_s <= self.lost_s]
        pairs = {column: row for row, column in assign(self._costs(time_s, faces), _ALONE_COST)}
        found = []
        for number, face in enumerate(faces):
            alone = not any(other is not face and iou(face.box, other.box) > _ALONE for other in faces)
            if number in pairs:
                track = self.tracks[pairs[number]]
                self._see(track, time_s, face, alone=alone)
            else:
                self._numbers += 1
                track = Track(self._numbers, face.box, time_s, time_s, face.appearance, born_box=face.box)
                self.tracks.append(track)
            self._look(track, face.portrait if alone else None)
            found.append(track)
        self._confirm(time_s, found)
        self._last_s, self._updates = time_s, self._updates + 1
        return found

    def finish(self) -> None:
        """Confirm what a clip of one or two frames left no time to confirm, and who was still in doubt."""
        for track in self.tracks:
            if self._updates <= 2 or track.seen_s - track.born_s >= self.confirm_s:
                self._number(track)

    def unseen(self, time_s: float, within_s: float) -> dict[int, Box]:
        """Where the persons should be whom this frame does not show, but one a moment ago did."""
        return {
            track.face_id: track.expected(time_s)
            for track in self.tracks
            if track.face_id is not None and 0 < time_s - track.seen_s <= within_s
        }

    def _costs(self, time_s: float, faces: Sequence[Sighting]) -> NDArray[np.float64]:
        costs = np.full((len(self.tracks), len(faces)), np.inf)
        for row, track in enumerate(self.tracks):
            for column, face in enumerate(faces):
                costs[row, column] = _cost(track, time_s, face)
        return costs

    def _see(self, track: Track, time_s: float, face: Sighting, *, alone: bool) -> None:
        """Take a new sighting into a track."""
        gap_s = max(time_s - track.seen_s, 1e-3)
        weight = max(1 / (track.hits + 1), -math.expm1(-gap_s / _MOTION_S))
        old, new = _centre(track.box), _centre(face.box)
        vx, vy = track.velocity
        track.velocity = (
            vx + weight * ((new[0] - old[0]) / gap_s - vx),
            vy + weight * ((new[1] - old[1]) / gap_s - vy),
        )
        if face.appearance is not None and track.appearance is None:
            track.appearance = face.appearance
        elif face.appearance is not None and track.appearance is not None and alone:
            change = face.appearance - track.appearance
            track.appearance = unit(track.appearance + _NEW_APPEARANCE * change)
        track.box, track.seen_s = face.box, time_s
        track.hits += 1

    def _look(self, track: Track, portrait: Portrait | None) -> None:
        """Keep a portrait of a face that no other hides."""
        if portrait is None:
            return
        track.portrait, track.looked_s = portrait, track.seen_s
        if track.face_id is not None:
            self.people.learn(track.face_id, portrait)
        elif len(track.looks) < _LOOKS:
            track.looks.append(portrait)

    def _confirm(self, time_s: float, found: list[Track]) -> None:
        """Number the new faces that were seen long enough, the larger first."""
        # Where frames are further apart than that, a face is believed at its first sighting.
        sparse = self._last_s is not None and time_s - self._last_s > _SPARSE_S
        candidates = self.tracks if sparse else found
        ready = [
            track
            for track in candidates
            if (sparse and (track.hits > 1 or track.is_in_view())) or time_s - track.born_s >= self.confirm_s
        ]
        # Results wait for DOUBT_S. Where the next frame comes later than that, there is nothing to wait for.
        step_s = 0.0 if self._last_s is None else time_s - self._last_s
        for track in sorted(ready, key=lambda track: -track.box[2] * track.box[3]):
            enough_s = _LOOK_S if track.looks else DOUBT_S
            self._number(track, patient=step_s <= DOUBT_S and time_s - track.born_s < enough_s)

    def _number(self, track: Track, *, patient: bool = False) -> None:
        """Give a track its person's number; if `patient`, not yet where it may be that of somebody known."""
        if track.face_id is not None:
            return
        former = self._former(track, track.appearance)
        since = [other.face_id for other in self.tracks if other.seen_s >= track.born_s]
        present = {person for person in since if person is not None}
        person = former.face_id if former else self.people.find(track.looks, present)
        if person is None:
            if patient and (self._former(track, None) or self.people.others(present)):
                return
            person = self.people.new()
        self.tracks = [other for other in self.tracks if other.face_id != person]
        track.face_id = person
        for portrait in track.looks:
            self.people.learn(person, portrait)
        track.looks.clear()

    def _former(self, track: Track, appearance: Appearance | None) -> Track | None:
        """The person, out of sight, whom a new face is: one half hidden at first looked like nobody known.

        Without an appearance, the person whom it may be by place and size.
        """
        portrait = track.looks[-1] if track.looks and appearance is not None else None
        born = Sighting(track.born_box or track.box, appearance, portrait)
        costs = {
            other.number: _cost(other, track.born_s, born)
            for other in self.tracks
            if other.face_id is not None and other.seen_s < track.born_s
        }
        best = min(costs, key=costs.__getitem__, default=None)
        if best is None or costs[best] >= _ALONE_COST:
            return None
        return next(other for other in self.tracks if other.number == best)


def shrink(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A gray crop, uint8 (S, S), averaged down to (8, 8): all that `appearance_of` needs of it."""
    size = (_APPEARANCE_SIDE, _APPEARANCE_SIDE)
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BOX))


def appearance_of(small: NDArray[np.uint8]) -> Appearance:
    """What a shrunk crop, uint8 (8, 8), looks like at a glance: 64 values of mean 0 and length 1.

    The correlation of two appearances is their dot product. A crop of one grey level gives zeros.
    """
    values = small.astype(np.float32).ravel()
    return unit(values - values.sum() / values.size)


def _cost(track: Track, time_s: float, face: Sighting) -> float:
    """What it costs to take a face for a track: widths away, log of the size's change, unlike appearances."""
    gap_s = time_s - track.seen_s
    away, growth = _apart(track.expected(time_s), face.box)
    reach = min(_REACH + _REACH_PER_S * gap_s, _REACH_MOST)
    if growth > _GROWTH or (gap_s <= _JUMP_S and away > reach):
        return math.inf  # before the costlier look
    alike, least = 1.0, -1.0
    if track.portrait is not None and face.portrait is not None:
        score = likeness(track.portrait, face.portrait)
        if score < (_OTHER_AT_ONCE if time_s - track.looked_s <= _UNSEEN_S else _OTHER_LATER):
            return math.inf
        if gap_s > _JUMP_S:  # where it is says less now than what it looks like
            away, reach = away / 2, _JUMP_REACH if score > _SURE else reach / 2
            alike = math.tanh(score / 2)
    elif track.appearance is not None and face.appearance is not None:
        alike = float(track.appearance @ face.appearance)
        least = _SAME_AFTER_LOSS if gap_s > _UNSEEN_S else -1.0
    if away > reach or alike < least:
        return math.inf
    return away + growth + _APPEARANCE_WEIGHT * (1 - alike)


def _apart(a: Box, b: Box) -> tuple[float, float]:
    """Distance of two boxes' centres in widths of a face, and the log of how much larger one is."""
    size_a, size_b = math.sqrt(a[2] * a[3]), math.sqrt(b[2] * b[3])
    (ax, ay), (bx, by) = _centre(a), _centre(b)
    return math.hypot(ax - bx, ay - by) / ((size_a + size_b) / 2), abs(math.log(size_a / size_b))


def _centre(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2
