"""One frame of a clip or stream, upright, with its true time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import ImageError
from mien.video.tracking.cuts import THUMBNAIL

if TYPE_CHECKING:
    import av


@dataclass(frozen=True)
class FramePosition:
    """Where a frame lies in its clip: number from 0, time in seconds, time stamp in the container's units."""

    index: int
    time_s: float
    pts: int | None


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame of a clip, still as the decoder gave it; pixels are converted on request.

    Attributes:
        index: number of the frame in the clip, from 0.
        time_s: when it is shown, in seconds since the clip's beginning as a player shows it.
        pts: its presentation time stamp in the container's units; None where the container has none.
        native: PyAV's frame.
        turns: quarter turns counterclockwise that bring it upright, 0..3.
        scene: number of its scene, from 0: where it differs from the last frame's, the clip was cut between.
    """

    index: int
    time_s: float
    pts: int | None
    native: av.VideoFrame
    turns: int = 0
    scene: int = 0

    @property
    def position(self) -> FramePosition:
        """Where the frame lies in its clip."""
        return FramePosition(self.index, self.time_s, self.pts)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright frame."""
        width, height = self.native.width, self.native.height
        return (height, width) if self.turns % 2 else (width, height)

    def rgb(self, most: int | None = None) -> NDArray[np.uint8]:
        """The frame as RGB (H, W, 3); with `most`, reduced until no side is longer than that.

        Reducing averages, and costs less than converting at full size and reducing afterwards.
        """
        return self._pixels("rgb24", *_reduced((self.native.width, self.native.height), most))

    def gray(self) -> NDArray[np.uint8]:
        """The frame's luma (H, W), 0 black to 255 white, whatever range the clip stores it in.

        It is the clip's own luma: of BT.709 clips some grey levels from the BT.601 weights that photos get.
        """
        return self._pixels("gray", self.native.width, self.native.height)

    def _pixels(self, form: str, width: int, height: int) -> NDArray[np.uint8]:
        # Without the exact flags, reduced colours are several levels off. One thread: the frame is small,
        # and the machine's cores have other stages to run.
        from av.video.reformatter import Interpolation as How

        how = How.AREA | How.ACCURATE_RND | How.FULL_CHR_H_INT if width < self.native.width else How.BILINEAR
        try:
            converted = self.native.reformat(
                width, height, form, interpolation=how, dst_color_range="JPEG", threads=1
            )
            pixels: NDArray[Any] = converted.to_ndarray()
        except Exception as error:  # PyAV raises errors of many kinds for damaged frames
            raise ImageError(f"the frame at {self.time_s:.2f} s cannot be converted: {error}.") from error
        return np.ascontiguousarray(np.rot90(pixels, self.turns)) if self.turns else pixels


@dataclass(frozen=True, eq=False)
class ImageFrame:
    """A frame that is decoded already: RGB pixels, uint8 (H, W, 3). `scene` as in `VideoFrame`."""

    position: FramePosition
    pixels: NDArray[np.uint8]
    scene: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def rgb(self, most: int | None = None) -> NDArray[np.uint8]:
        """The frame as RGB (H, W, 3); with `most`, reduced until no side is longer than that."""
        small = _reduced(self.size, most)
        if small == self.size:
            return self.pixels
        return np.asarray(Image.fromarray(self.pixels).resize(small, Image.Resampling.BOX))

    def gray(self) -> NDArray[np.uint8]:
        """The frame's luma (H, W) with the weights of BT.601, as photos get."""
        return np.asarray(Image.fromarray(self.pixels).convert("L"))


Frame: TypeAlias = VideoFrame | ImageFrame


def thumbnail(native: av.VideoFrame) -> NDArray[np.uint8]:
    """A decoder's frame as `SceneCounter` takes it, RGB (18, 32, 3); it costs a fifth of a millisecond."""
    from av.video.reformatter import Interpolation

    small = native.reformat(*THUMBNAIL, "rgb24", interpolation=Interpolation.AREA, threads=1)
    return np.asarray(small.to_ndarray(), np.uint8)


def image_thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A decoded image, RGB (H, W, 3), as `SceneCounter` takes it."""
    return np.asarray(Image.fromarray(pixels).resize(THUMBNAIL, Image.Resampling.BOX))


def quarter_turns(rotation_degrees: float) -> int:
    """Quarter turns counterclockwise nearest to a display matrix's rotation, 0..3."""
    return round(rotation_degrees / 90) % 4


def _reduced(size: tuple[int, int], most: int | None) -> tuple[int, int]:
    scale = 1.0 if most is None else min(1.0, most / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
