"""One decoded picture of a clip, upright, with its true time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A picture of a clip, still as the decoder gave it; pixels are made when asked for.

    Attributes:
        index: number of the picture in the clip, from 0.
        time_s: when it is shown, in seconds since the clip's beginning as a player shows it.
        pts: its presentation time stamp in the container's units; None where the container has none.
        native: PyAV's frame.
        turns: quarter turns counterclockwise that bring it upright, 0..3.
    """

    index: int
    time_s: float
    pts: int | None
    native: av.VideoFrame
    turns: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        width, height = self.native.width, self.native.height
        return (height, width) if self.turns % 2 else (width, height)

    def rgb(self, most: int | None = None) -> NDArray[np.uint8]:
        """The picture as RGB (H, W, 3); with `most`, reduced until no side is longer than that.

        Reducing averages, and costs less than converting at full size and reducing afterwards.
        """
        width, height = self.native.width, self.native.height
        scale = 1.0 if most is None else min(1.0, most / max(width, height))
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        return self._pixels("rgb24", *small)

    def gray(self) -> NDArray[np.uint8]:
        """The picture's luma (H, W), 0 black to 255 white, whatever range the clip stores it in.

        It is the clip's own luma: of BT.709 clips some grey levels from the BT.601 weights that photos get.
        """
        return self._pixels("gray", self.native.width, self.native.height)

    def _pixels(self, form: str, width: int, height: int) -> NDArray[np.uint8]:
        # Without the exact flags, reduced colours are several levels off. One thread: the picture is small,
        # and the machine's cores have other stages to run.
        from av.video.reformatter import Interpolation as How

        how = How.AREA | How.ACCURATE_RND | How.FULL_CHR_H_INT if width < self.native.width else How.BILINEAR
        converted = self.native.reformat(
            width, height, form, interpolation=how, dst_color_range="JPEG", threads=1
        )
        pixels: NDArray[Any] = converted.to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self.turns)) if self.turns else pixels


def quarter_turns(rotation_degrees: float) -> int:
    """Quarter turns counterclockwise nearest to a display matrix's rotation, 0..3."""
    return round(rotation_degrees / 90) % 4
