"""Data sets of labelled faces to one table: FER2013, FER+, folders, Parquet, synthetic faces.

>>> import mien.data
>>> faces = mien.data.load("synthetic")
>>> faces.pixels.shape, faces.classes[3]
((3500, 48, 48), 'happy')
"""

from __future__ import annotations

from mien.data.sources import load
from mien.data.table import BadRow, FaceTable, not_in

__all__ = ["BadRow", "FaceTable", "load", "not_in"]
