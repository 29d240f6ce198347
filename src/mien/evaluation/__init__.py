"""Predictions and truth to scores: metrics, calibration, comparison, robustness and fairness."""
