"""Drawn faces: a data set without a download."""
