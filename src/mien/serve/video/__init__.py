"""Clips that are analyzed in the background, one after the other."""
