"""Calibration: temperatures and conformal thresholds."""
