"""The annotated frames of a clip or a camera in a window of their own, while they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import UsageError
from mien.video.output.painter import ClipPainter
from mien.video.results import AnalyzedFrame

# Of the screen; the rest is left to the window's frame and the system's bars.
_SHARE_OF_SCREEN = 0.9


class Window:
    """Shows results as they come, until it is closed, or Q or Escape is pressed in it.

    It is drawn by Tk, which comes with most Pythons; use it in the main thread.

    Args:
        blur_others: make faces unrecognisable that are not among the results.

    Raises:
        UsageError: there is no Tk, or no screen.
    """

    def __init__(self, *, blur_others: bool = False) -> None:
        try:
            import tkinter
        except ImportError:
            raise UsageError(
                "--show needs Tk, and this Python has none. Install it (Debian and Ubuntu: apt install "
                "python3-tk), or run mien live, which shows the camera in the browser."
            ) from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise UsageError(
                f"--show finds no screen to open a window on: {error}. Use --save, or mien live."
            ) from error
        self._tk = tkinter
        self._painter = ClipPainter(blur_others=blur_others)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._shown: Any = None  # Tk keeps none of its own
        self._open = True
        self._root.title("mien")
        self._root.protocol("WM_DELETE_WINDOW", self._leave)
        for key in ("<Escape>", "q", "Q"):
            self._root.bind(key, self._leave)

    def show(self, analyzed: AnalyzedFrame) -> bool:
        """Show a result on its frame; whether the window is still open."""
        if self._open and analyzed.frame is not None:
            result = analyzed.result
            pixels = self._painter.paint(analyzed.frame.rgb(), result.faces, analyzed.others)
            screen = (self._root.winfo_screenwidth(), self._root.winfo_screenheight())
            self._shown = self._tk.PhotoImage(data=as_ppm(pixels, screen), format="ppm")
            self._label.configure(image=self._shown)
        if self._open:
            self._root.update()
        return self._open

    def close(self) -> None:
        """Take the window away."""
        self._open = False
        self._root.destroy()

    def _leave(self, event: object = None) -> None:  # noqa: ARG002 (Tk gives one)
        self._open = False


def as_ppm(image_rgb: NDArray[np.uint8], screen: tuple[int, int]) -> bytes:
    """An image, uint8 (H, W, 3) as a PPM file, which Tk reads; reduced where a screen is too small for it."""
    height, width = image_rgb.shape[:2]
    scale = min(1.0, _SHARE_OF_SCREEN * screen[0] / width, _SHARE_OF_SCREEN * screen[1] / height)
    if scale < 1:
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        image_rgb = np.asarray(Image.fromarray(image_rgb).resize((width, height), Image.Resampling.BILINEAR))
    return b"P6 %d %d 255\n" % (width, height) + image_rgb.tobytes()
