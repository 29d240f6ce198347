"""Reads the frames of an opened clip in order, with their true times, and records what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mien.errors import ImageError, MissingExtra, UsageError
from mien.names import shown
from mien.video.frame import FramePosition, VideoFrame, quarter_turns, thumbnail
from mien.video.sources import is_address, without_password
from mien.video.tracking.cuts import SceneCounter

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

# A clip ended early if this many seconds are missing: of its video track's own length, and of the
# container's, which may be that of a longer sound track.
_MISSING_OF_TRACK_S = 0.5
_MISSING_OF_CONTAINER_S = 2.0
# Frames whose times are this close to a tick of the sampling interval are on it: the difference is rounding.
_TICK_TOLERANCE_S = 1e-4
_REORDERED_S = 2.0
# For a stream to answer, and to send its next bytes.
_TIMEOUTS_S = (10.0, 10.0)


@dataclass
class ReadStatus:
    """How reading a clip went; valid once its frames have been read.

    Attributes:
        time_s: when the last frame that was read is shown; None where none was.
        broken: how many could not be decoded; they are left out. A decoder of several threads may lose the
            frame beside a broken one with it.
        first_broken_s: time of the last frame before the first of them; None where there was none.
        expected_s: the length that the clip announces; None for streams and cameras.
        reason: why it ended before its end; None where all of it was read.
    """

    time_s: float | None = None
    broken: int = 0
    first_broken_s: float | None = None
    expected_s: float | None = None
    reason: str | None = None

    def describe(self) -> str | None:
        """What went wrong, in words, or None."""
        parts = []
        if self.broken:
            first = "" if self.first_broken_s is None else f", the first behind {self.first_broken_s:.2f} s"
            parts.append(f"{self.broken} broken frame{'s' if self.broken > 1 else ''} left out{first}")
        if self.reason:
            at = "before the first frame" if self.time_s is None else f"at {self.time_s:.2f} s"
            of = "" if self.expected_s is None else f" of {self.expected_s:.2f} s"
            parts.append(f"ended {at}{of}: {self.reason}")
        return "; ".join(parts) or None


_BEFORE_ALL = FramePosition(-1, -math.inf, None)


@dataclass
class Video:
    """An opened clip, stream or camera. Close it, or use it in a `with` block.

    Attributes:
        source: its path, address or number, without password.
        size: width and height of the frames; upright once the first has been read.
        rate: frames per second on average, as announced; None where unknown.
        duration_s: its length as announced; None for streams and cameras.
        live: whether frames come at their own pace, so that late ones are better dropped.
        endless: whether it has no end of its own, as a camera; if its frames end, that is an error.
        status: how reading went.
    """

    source: str
    container: InputContainer
    stream: VideoStream
    live: bool = False
    endless: bool = False
    status: ReadStatus = field(default_factory=ReadStatus)

    def __post_init__(self) -> None:
        context = self.stream.codec_context
        self.size: tuple[int, int] = (context.width, context.height)
        self.rate: float | None = float(self.stream.average_rate) if self.stream.average_rate else None
        self.duration_s = None if self.live else _announced_length(self.container, self.stream)[0]
        self._origin_s = None if self.live else (self.container.start_time or 0) / 1e6
        self._shown_until_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, the connection or the camera."""
        self.container.close()

    def frames(
        self,
        *,
        start_s: float = 0.0,
        end_s: float | None = None,
        interval_s: float | None = None,
        after: FramePosition | None = None,
    ) -> Iterator[VideoFrame]:
        """Yields the frames in order of time.

        Args:
            start_s: leave out what is shown before.
            end_s: leave out what is shown from then on.
            interval_s: yield only the first frame of each interval; None yields all.
            after: continue after this frame, as if it and all before it had been yielded.

        Broken frames are left out and counted in `status`; where the file is cut or a stream breaks off,
        the frames end and `status` has the reason.

        Raises:
            UsageError: times that make no sense, or a start behind the clip's end.
        """
        self._check_range(start_s, end_s, interval_s)
        tick = -math.inf if after is None or interval_s is None else _tick(after.time_s - start_s, interval_s)
        for frame in self._decode(start_s, after):
            if end_s is not None and frame.time_s >= end_s:
                return
            if interval_s is not None:
                if (now := _tick(frame.time_s - start_s, interval_s)) <= tick:
                    continue
                tick = now
            yield frame
        self._judge_the_end()

    def times_s(self, start_s: float, until_s: float, interval_s: float | None = None) -> Iterator[float]:
        """Yields the times of the frames that `frames` would yield up to a time, without decoding any.

        None where the container has no time stamps.
        """
        stamps = self._stamps(until_s)
        origin_s, tick = self._origin_s or 0.0, -math.inf
        for pts in sorted(stamps):
            time_s = float(pts * (self.stream.time_base or 0)) - origin_s
            if not start_s - _TICK_TOLERANCE_S <= time_s <= until_s:
                continue
            if interval_s is not None:
                if (now := _tick(time_s - start_s, interval_s)) <= tick:
                    continue
                tick = now
            yield time_s

    def _stamps(self, until_s: float) -> list[int]:
        """Time stamps of frames up to a time and some behind it, in the order in which they are stored."""
        base, found = self.stream.time_base or Fraction(0), []
        with open_container(self.container.name) as other:
            for packet in other.demux(other.streams[self.stream.index]):
                if packet.pts is not None and not packet.is_discard:
                    found.append(packet.pts)
                if (
                    packet.dts is not None
                    and packet.dts * base - (self._origin_s or 0) - until_s > _REORDERED_S
                ):
                    break
        return found

    def _check_range(self, start_s: float, end_s: float | None, interval_s: float | None) -> None:
        if start_s < 0 or (end_s is not None and end_s <= start_s):
            raise UsageError(f"start {start_s} must be 0 or more, and end {end_s} behind it.")
        if interval_s is not None and not interval_s > 0:
            raise UsageError(f"interval must be a time above 0, not {interval_s}.")
        if start_s and self.live:
            raise UsageError(f"{self.source} is live and has no earlier start to go to; leave the start out.")
        if start_s and self.duration_s is not None and start_s >= self.duration_s:
            raise UsageError(
                f"{self.source} is {self.duration_s:.2f} s long; nothing is left from {start_s} s on."
            )

    def _decode(self, start_s: float, after: FramePosition | None) -> Iterator[VideoFrame]:
        """Every frame shown from the start, or behind `after`, on."""
        natives, whole = self._read_from(start_s if after is None else after.time_s)
        last = _BEFORE_ALL if whole or after is None else after
        counted = whole or after is not None
        scenes = SceneCounter()
        for native in natives:
            scene = scenes.feed(thumbnail(native))
            stamp_s = self._stamp_s(native)
            # Decoding began at a key frame before what is wanted.
            if not whole and stamp_s is not None and not _is_wanted(stamp_s, start_s, after):
                continue
            index = last.index + 1 if counted else self._frames_before(native.pts)
            counted = True
            last = FramePosition(index, self._time(stamp_s, last), native.pts)
            if _is_wanted(last.time_s, start_s, after):
                self._note(native, last.time_s)
                yield VideoFrame(
                    index, last.time_s, native.pts, native, quarter_turns(native.rotation), scene
                )

    def _note(self, native: av.VideoFrame, time_s: float) -> None:
        self.status.time_s = time_s
        lasts = native.duration * native.time_base if native.duration and native.time_base else 0
        self._shown_until_s = time_s + float(lasts or (1 / self.rate if self.rate else 0))
        turned = quarter_turns(native.rotation) % 2
        self.size = (native.height, native.width) if turned else (native.width, native.height)

    def _read_from(self, time_s: float) -> tuple[Iterator[av.VideoFrame], bool]:
        """What can be decoded from a frame before a time on, and whether that is the whole clip."""
        import av

        if time_s <= 0:
            return self._read(), True
        # A second of slack, for containers that seek by decoding time.
        with suppress(av.FFmpegError, OSError):  # one that cannot seek is found out below
            self.container.seek(round((max(0.0, time_s - 1.0) + (self._origin_s or 0.0)) * 1e6))
        natives = self._read()
        first = next(natives, None)
        stamp_s = None if first is None else self._stamp_s(first)
        if first is None or stamp_s is None or stamp_s > time_s:  # no stamps to go by, or it went too far
            self.container.seek(0)
            return self._read(), True
        return chain([first], natives), False

    def _read(self) -> Iterator[av.VideoFrame]:
        """What can be decoded; a packet that cannot be is counted, and an error of the container ends it."""

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except Exception as error:  # PyAV raises errors of many kinds for damaged files
                self.status.reason = str(getattr(error, "strerror", None) or error)
                return
            try:
                natives = packet.decode()
            except Exception:
                self._count_broken()
                continue
            for native in natives:
                if native.is_corrupt:
                    self._count_broken()
                else:
                    yield native

    def _count_broken(self) -> None:
        self.status.broken += 1
        if self.status.broken == 1:
            self.status.first_broken_s = self.status.time_s

    def _stamp_s(self, native: av.VideoFrame) -> float | None:
        """When a frame is shown according to the container, or None."""
        if native.pts is None or native.time_base is None:
            return None
        stamp_s = float(native.pts * native.time_base)
        if self._origin_s is None:
            self._origin_s = stamp_s  # a camera's clock started with the machine
        return stamp_s - self._origin_s

    def _time(self, stamp_s: float | None, last: FramePosition) -> float:
        """When a frame is shown. Never before the last: a clock that jumps back goes on from there."""
        if stamp_s is not None and stamp_s > last.time_s:
            return stamp_s
        step = 1 / self.rate if self.rate else 0.04  # 25 per second where the container has no rate
        return 0.0 if last.index < 0 else last.time_s + step

    def _frames_before(self, pts: int | None) -> int:
        """How many frames of the clip are shown before a time stamp, counted without decoding them."""
        if pts is None:
            return 0
        count = 0
        with open_container(self.container.name) as other:
            for packet in other.demux(other.streams[self.stream.index]):
                if packet.pts is None or packet.is_discard:
                    continue
                count += packet.pts < pts
                # Frames are stored in another order than shown, but never so far ahead.
                if packet.dts is not None and (packet.dts - pts) * packet.time_base > _REORDERED_S:
                    break
        return count

    def _judge_the_end(self) -> None:
        """Whether everything that was announced was read."""
        self.status.expected_s = self.duration_s
        if self.endless:
            why = f" ({self.status.reason})" if self.status.reason else ""
            self.status.reason = (
                f"{self.source} gives no more frames{why}; it was unplugged, or another program took it. "
                "Plug it in again, or close that program"
            )
        if self.duration_s is None or self.status.reason is not None:
            return
        of_track = _announced_length(self.container, self.stream)[1]
        missing = _MISSING_OF_TRACK_S if of_track else _MISSING_OF_CONTAINER_S
        if self._shown_until_s < self.duration_s - missing:
            self.status.reason = "the file is cut short"


def open_container(name: str) -> InputContainer:
    """PyAV's container of a file or an address.

    Raises:
        MissingExtra: PyAV is not installed.
        ImageError: it cannot be opened.
    """
    try:
        import av
    except ImportError:
        raise MissingExtra("reading videos", "video") from None
    address = is_address(name)
    # Over UDP, lost packets would become broken frames.
    options = {"rtsp_transport": "tcp"} if name.lower().startswith("rtsp") else {}
    try:
        # FFmpeg takes the beginning of 12:30:45.mp4 for a protocol, but not that of an absolute path.
        path = name if address else str(Path(name).absolute())
        return av.open(
            path, "r", metadata_errors="replace", options=options, timeout=_TIMEOUTS_S if address else None
        )
    except Exception as error:  # PyAV raises errors of many kinds for damaged files
        why = f"{getattr(error, 'strerror', None) or error}."
        if isinstance(error, av.error.InvalidDataError):
            why += " It is not a video, or it was cut off before its index was written."
        raise ImageError(f"{shown(without_password(name))} cannot be opened: {why}") from error


def _announced_length(container: InputContainer, stream: VideoStream) -> tuple[float | None, bool]:
    """The length in seconds, and whether it is that of the video track itself."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base), True
    if match := stream.metadata.get("DURATION"):  # Matroska's tag, such as 00:01:02.500000000
        with suppress(ValueError):  # text from outside
            hours, minutes, seconds = match.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds), True
    return (container.duration / 1e6, False) if container.duration is not None else (None, False)


def _is_wanted(time_s: float, start_s: float, after: FramePosition | None) -> bool:
    return time_s >= start_s - _TICK_TOLERANCE_S and (after is None or time_s > after.time_s)


def _tick(time_s: float, interval_s: float) -> int:
    return math.floor((time_s + _TICK_TOLERANCE_S) / interval_s)
