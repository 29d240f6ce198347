"""Figures: arrays in, drawn axes out."""
