"""Frames to a video file in parts, and the parts with the clip's own sound to the file that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ImageError, reason

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

# Ticks a second of the time stamps: in 90,000 all usual rates are whole or within 3 microseconds. MPEG-4
# part 2, for builds of FFmpeg without an H.264 encoder, takes no more than 65,535.
_CODECS = {"libx264": 90_000, "libopenh264": 90_000, "h264_videotoolbox": 90_000, "mpeg4": 60_000}
_X264 = {"preset": "veryfast", "crf": "21"}
# Sound that MP4 holds as it is; other sound is coded anew.
_COPIED_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})


class VideoSegment:
    """A stretch of video being written, without sound. Time stamps count from its first frame."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float | None) -> None:
        import av

        self._codec = _codec()
        self._ticks = _CODECS[self._codec]
        self._out = av.open(str(path.absolute()), "w", format="mp4")
        stream: Any = self._out.add_stream(self._codec, rate=Fraction(rate or 25).limit_denominator(1001))
        stream.codec_context.time_base = Fraction(1, self._ticks)
        stream.width, stream.height = (side + side % 2 for side in size)  # 4:2:0 has even sides
        stream.pix_fmt = "yuv420p"
        # Without frames that lie between others, parts can be joined at any place.
        stream.codec_context.max_b_frames = 0
        if self._codec == "libx264":
            stream.options = _X264
        elif self._codec == "mpeg4":
            stream.codec_context.qmin = stream.codec_context.qmax = 4
        else:
            stream.bit_rate = size[0] * size[1] * 4
        self._stream = stream
        self._first_s: float | None = None

    def write(self, image_rgb: NDArray[np.uint8], time_s: float) -> None:
        """Take the next frame, uint8 (H, W, 3), shown at a time; of another size, it is scaled."""
        import av

        if self._first_s is None:
            self._first_s = time_s
        width, height = self._stream.width, self._stream.height
        missing = [(0, height - image_rgb.shape[0]), (0, width - image_rgb.shape[1])]
        if all(0 <= behind <= 1 for _, behind in missing) and any(behind for _, behind in missing):
            image_rgb = np.pad(image_rgb, [*missing, (0, 0)], mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image_rgb), "rgb24")
        frame = frame.reformat(width, height, "yuv420p", threads=1)
        frame.pts = round((time_s - self._first_s) * self._ticks)
        frame.time_base = Fraction(1, self._ticks)
        self._out.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and the file's index."""
        self._out.mux(self._stream.encode())
        self._out.close()


def join(parts: Sequence[tuple[Path, float]], out: Path, sound: tuple[str, float, float] | None) -> None:
    """Writes parts, each with the time at which it begins, as one MP4; nothing is coded anew but odd sound.

    `sound` is a clip whose sound is laid under it, the clip's time at which the video's time 0 lies, and the
    time at which the sound ends. A clip without sound adds none.

    Raises:
        ImageError: the file cannot be written.
    """
    import av

    temporary = out.with_name(f".{out.name}.part")
    try:
        with av.open(str(temporary.absolute()), "w", format="mp4", options={"movflags": "faststart"}) as to:
            _mux(parts, to, sound)
        temporary.replace(out)
    except (av.FFmpegError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise ImageError(f"{out} cannot be written: {reason(error)}. Choose another place.") from error


def _mux(
    parts: Sequence[tuple[Path, float]], to: OutputContainer, sound: tuple[str, float, float] | None
) -> None:
    """Frames and sound in turns, as they belong together in time."""
    import av

    with av.open(str(parts[0][0].absolute())) as first:
        video = to.add_stream_from_template(first.streams.video[0])
    origin_s = parts[0][1] if sound is None else sound[1]
    tracks = [_frames(parts, video, origin_s)]
    source = None
    try:
        if sound is not None:
            source = av.open(sound[0])
            if source.streams.audio:
                tracks.append(_sound(source, to, sound[1], sound[2]))
        waiting = [next(track, None) for track in tracks]
        while any(waiting):
            at = min((item[0], i) for i, item in enumerate(waiting) if item)[1]
            item = waiting[at]
            if item is not None:
                to.mux(item[1])
            waiting[at] = next(tracks[at], None)
    finally:
        if source is not None:
            source.close()


def _frames(parts: Sequence[tuple[Path, float]], video: Any, origin_s: float) -> Iterator[tuple[float, Any]]:
    import av

    last: int | None = None
    for path, start_s in parts:
        with av.open(str(path.absolute())) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.dts is None or packet.pts is None:
                    continue
                packet.pts += round((start_s - origin_s) / packet.time_base)
                packet.dts = packet.pts if last is None else max(packet.pts, last + 1)
                packet.pts = last = packet.dts
                packet.stream = video
                yield float(packet.pts * packet.time_base), packet


def _sound(
    source: InputContainer, to: OutputContainer, start_s: float, end_s: float
) -> Iterator[tuple[float, Any]]:
    """The sound's packets between two times of the clip, moved to begin at 0."""
    stream = source.streams.audio[0]
    origin_s = (source.start_time or 0) / 1e6 + start_s
    if start_s > 0:
        import av

        with suppress(av.FFmpegError, OSError):
            source.seek(round(origin_s * 1e6))
    copied = stream.codec_context.name in _COPIED_SOUND
    track: Any = to.add_stream_from_template(stream) if copied else to.add_stream("aac", rate=stream.rate)
    if not copied:
        track.layout = "stereo" if stream.codec_context.channels > 1 else "mono"
    packets = _copied(source, stream, track) if copied else _recoded(source, stream, track)
    for packet in packets:
        time_s = float(packet.pts * packet.time_base) - origin_s
        if time_s >= end_s - start_s:
            break
        if time_s < -0.03:  # a packet that reaches into the start is heard from its beginning
            continue
        shift = round(origin_s / packet.time_base)
        packet.pts, packet.dts = max(packet.pts - shift, 0), max(packet.dts - shift, 0)
        packet.stream = track
        yield time_s, packet


def _copied(source: InputContainer, stream: Any, track: Any) -> Iterator[Any]:  # noqa: ARG001
    import av

    packets = source.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError, OSError):  # a cut file ends here; so does its video
            return
        if packet.pts is not None and packet.dts is not None:
            yield packet


def _recoded(source: InputContainer, stream: Any, track: Any) -> Iterator[Any]:
    import av

    resampler = av.AudioResampler(format="fltp", layout=track.layout, rate=track.rate, frame_size=1024)
    for packet in _copied(source, stream, track):
        with suppress(av.error.InvalidDataError):  # a broken packet is a moment of silence
            for frame in packet.decode():
                for even in resampler.resample(frame):
                    yield from track.encode(even)
    yield from track.encode(None)


def _codec() -> str:
    import av

    for name in _CODECS:
        with suppress(av.codec.codec.UnknownCodecError):
            av.Codec(name, "w")
            return name
    raise ImageError("this build of FFmpeg has no encoder for video; install PyAV from its wheels.")
