"""Data sets in folders of images."""
