"""Stable identities through a clip: matches the faces of each frame to those of the frame before.

A face is followed by where it is, how it moves and, where that leaves doubt, what it looks like: the
correlation of 64 grey values. That tells two people in one scene apart for a moment. It recognises nobody:
who is gone for more than `lost_s`, or behind a cut, comes back as somebody new.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.geometry import Box, iou
from mien.video.assignment import assign

Appearance = NDArray[np.float32]

_APPEARANCE_SIDE = 8
# Of 800 faces of FER2013, appearances of two people correlate above 0.57 in 5 % of pairs and above 0.70 in
# 1 %; those of one face, shifted, turned and scaled as a detector's boxes are, above 0.83 in 95 %.
_SAME_AFTER_LOSS = 0.6
_SAME_AFTER_CUT = 0.7
# How far a face may be from where it was expected, in widths of a face: at once, and more for each second
# unseen. A face that crosses a 720p frame in a second moves about 0.3 widths from frame to frame.
_REACH, _REACH_PER_S, _REACH_MOST = 0.6, 2.0, 1.5
_REACH_AFTER_CUT = 0.35
_GROWTH = math.log(1.6)  # and by how much larger or smaller it may be
_APPEARANCE_WEIGHT = 0.6  # an appearance that does not correlate costs as much as 0.6 widths
# Above what a face that goes on costs; below what two costly pairs cost that part a cheap one.
_ALONE_COST = 1.6
_UNSEEN_S = 0.25  # longer unseen than that, a face must also look the same
_MOTION_S = 0.3  # motion is averaged over about so long
_COASTING_S = 0.5  # and dies away so fast while a face is unseen
# A new face where somebody known may come out of hiding is numbered so long after its first sighting at the
# latest: half hidden it looks like nobody, and a number is for good.
DOUBT_S = 0.45
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
        born_s, seen_s: when it was first and last seen.
        born_box: where it was seen first.
        hits: in how many frames it was seen.
        after_cut: whether the frame was cut since it was seen.
    """

    number: int
    box: Box
    born_s: float
    seen_s: float
    appearance: Appearance | None = None
    face_id: int | None = None
    velocity: tuple[float, float] = (0.0, 0.0)
    hits: int = 1
    after_cut: bool = False
    born_box: Box | None = None

    def expected(self, time_s: float) -> Box:
        """Where it should be now, if it goes on as it moved."""
        # The integral of a velocity that dies away while the face is unseen.
        coasted = _COASTING_S * -math.expm1(-max(0.0, time_s - self.seen_s) / _COASTING_S)
        x, y, width, height = self.box
        return (x + self.velocity[0] * coasted, y + self.velocity[1] * coasted, width, height)


@dataclass
class Tracker:
    """Tracks faces from frame to frame.

    Attributes:
        confirm_s: a face is confirmed, and numbered, when it has been seen for so long.
        lost_s: a face that was not seen for so long is given up.
    """

    confirm_s: float = 0.1
    lost_s: float = 2.0
    tracks: list[Track] = field(default_factory=list)
    _last_s: float | None = None
    _numbers: int = 0
    _faces: int = 0
    _updates: int = 0

    def update(
        self,
        time_s: float,
        boxes: Sequence[Box],
        appearances: Sequence[Appearance | None],
        *,
        cut: bool = False,
    ) -> list[Track]:
        """The track of each box of the next frame, in the boxes' order.

        `appearances` are those of `appearance_of`, one per box. `cut`: this frame begins a new scene.
        """
        for track in self.tracks:
            track.after_cut |= cut
        self.tracks = [track for track in self.tracks if time_s - track.seen_s <= self.lost_s]
        pairs = {column: row for row, column in assign(self._costs(time_s, boxes, appearances), _ALONE_COST)}
        found = []
        for number, (box, appearance) in enumerate(zip(boxes, appearances, strict=True)):
            if number in pairs:
                track = self.tracks[pairs[number]]
                self._see(track, time_s, box, appearance, boxes)
            else:
                self._numbers += 1
                track = Track(self._numbers, box, time_s, time_s, appearance, born_box=box)
            found.append(track)
        # Behind a cut, those that are not there at once have left the scene.
        seen = {track.number for track in found}
        self.tracks = [t for t in self.tracks if t.number in seen or not t.after_cut]
        known = {track.number for track in self.tracks}
        self.tracks += [track for track in found if track.number not in known]
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
            if track.face_id is not None and 0 < time_s - track.seen_s <= within_s and not track.after_cut
        }

    def _costs(
        self, time_s: float, boxes: Sequence[Box], appearances: Sequence[Appearance | None]
    ) -> NDArray[np.float64]:
        costs = np.full((len(self.tracks), len(boxes)), np.inf)
        for row, track in enumerate(self.tracks):
            for column, (box, appearance) in enumerate(zip(boxes, appearances, strict=True)):
                costs[row, column] = _cost(track, time_s, box, appearance)
        return costs

    def _see(
        self, track: Track, time_s: float, box: Box, appearance: Appearance | None, boxes: Sequence[Box]
    ) -> None:
        """Take a new sighting into a track."""
        gap_s = max(time_s - track.seen_s, 1e-3)
        weight = max(1 / (track.hits + 1), -math.expm1(-gap_s / _MOTION_S))
        old, new = _centre(track.box), _centre(box)
        if track.after_cut:
            track.velocity = (0.0, 0.0)
        else:
            vx, vy = track.velocity
            track.velocity = (
                vx + weight * ((new[0] - old[0]) / gap_s - vx),
                vy + weight * ((new[1] - old[1]) / gap_s - vy),
            )
        alone = not any(other is not box and iou(box, other) > _ALONE for other in boxes)
        if appearance is not None and track.appearance is None:
            track.appearance = appearance
        elif appearance is not None and track.appearance is not None and alone:
            change = appearance - track.appearance
            track.appearance = _unit(track.appearance + _NEW_APPEARANCE * change)
        track.box, track.seen_s, track.after_cut = box, time_s, False
        track.hits += 1

    def _confirm(self, time_s: float, found: list[Track]) -> None:
        """Number the new faces that were seen long enough, the larger first."""
        # Where frames are further apart than that, a face is rarely seen twice before it is believed.
        sparse = self._last_s is not None and time_s - self._last_s > self.confirm_s
        candidates = self.tracks if sparse else found
        ready = [track for track in candidates if sparse or time_s - track.born_s >= self.confirm_s]
        for track in sorted(ready, key=lambda track: -track.box[2] * track.box[3]):
            if track.face_id is None:
                if (former := self._former(track, time_s, track.appearance)) is not None:
                    track.face_id = former.face_id
                    self.tracks.remove(former)
                elif not sparse and time_s - track.born_s < DOUBT_S and self._former(track, time_s, None):
                    continue
            self._number(track)

    def _former(self, track: Track, time_s: float, appearance: Appearance | None) -> Track | None:
        """The person, out of sight, whom a new face is: one half hidden at first looked like nobody known.

        Without an appearance, the person whom it may be by place and size.
        """
        born = track.born_box or track.box
        costs = {
            other.number: _cost(other, track.born_s, born, appearance)
            for other in self.tracks
            if other.face_id is not None and other.seen_s < track.born_s and other.seen_s < time_s
        }
        best = min(costs, key=costs.__getitem__, default=None)
        if best is None or costs[best] >= _ALONE_COST:
            return None
        return next(other for other in self.tracks if other.number == best)

    def _number(self, track: Track) -> None:
        if track.face_id is None:
            self._faces += 1
            track.face_id = self._faces


def shrink(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A gray crop, uint8 (S, S), averaged down to (8, 8): all that `appearance_of` needs of it."""
    size = (_APPEARANCE_SIDE, _APPEARANCE_SIDE)
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BOX))


def appearance_of(small: NDArray[np.uint8]) -> Appearance:
    """What a shrunk crop, uint8 (8, 8), looks like at a glance: 64 values of mean 0 and length 1.

    The correlation of two appearances is their dot product. A crop of one grey level gives zeros.
    """
    values = small.astype(np.float32).ravel()
    return _unit(values - values.mean())


def _cost(track: Track, time_s: float, box: Box, appearance: Appearance | None) -> float:
    """What it costs to take a box for a track: widths away, log of the size's change, unlike appearances."""
    gap_s = time_s - track.seen_s
    away, growth = _apart(track.expected(time_s), box)
    alike = 1.0 if track.appearance is None or appearance is None else float(track.appearance @ appearance)
    reach = min(_REACH + _REACH_PER_S * gap_s, _REACH_MOST)
    least_alike = _SAME_AFTER_LOSS if gap_s > _UNSEEN_S else -1.0
    if track.after_cut:
        reach, least_alike = _REACH_AFTER_CUT, _SAME_AFTER_CUT
    if away > reach or growth > _GROWTH or alike < least_alike:
        return math.inf
    return away + growth + _APPEARANCE_WEIGHT * (1 - alike)


def _apart(a: Box, b: Box) -> tuple[float, float]:
    """Distance of two boxes' centres in widths of a face, and the log of how much larger one is."""
    size_a, size_b = math.sqrt(a[2] * a[3]), math.sqrt(b[2] * b[3])
    (ax, ay), (bx, by) = _centre(a), _centre(b)
    return math.hypot(ax - bx, ay - by) / ((size_a + size_b) / 2), abs(math.log(size_a / size_b))


def _centre(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def _unit(values: Appearance) -> Appearance:
    length = float(np.linalg.norm(values))
    return values / np.float32(length) if length > 1e-6 else np.zeros_like(values)
