"""Runs without PyTorch: recipes, history, curves, scaling and what a run was trained on."""
