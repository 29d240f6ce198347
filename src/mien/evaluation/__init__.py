"""Scores and truth to metrics, calibration and figures."""
