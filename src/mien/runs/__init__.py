"""Training runs without PyTorch: recipes, history, curves, scaling and environment."""
