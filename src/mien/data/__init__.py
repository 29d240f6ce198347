"""From FER2013 and its relatives to one table of faces.

>>> import mien.data
>>> faces = mien.data.load("synthetic")
>>> faces.pixels.shape, faces.classes[3]
((3500, 48, 48), 'happy')
"""

from __future__ import annotations

from mien.data.sources import load
from mien.data.table import BadRow, FaceTable, not_in

__all__ = ["BadRow", "FaceTable", "load", "not_in"]
