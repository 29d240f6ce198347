"""A training run to one ONNX file and its card, checked against PyTorch. Needs the `train` extra."""
