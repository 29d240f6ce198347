"""A table of faces to a trained network. Needs the `train` extra."""
