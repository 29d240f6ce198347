"""Clips and cameras: reading, tracking, smoothing, and the expression of each person over time."""
