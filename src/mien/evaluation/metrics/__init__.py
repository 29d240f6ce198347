"""Metrics: predictions and labels in, numbers out."""
