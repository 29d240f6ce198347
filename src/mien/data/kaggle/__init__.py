"""Data sets from Kaggle."""
