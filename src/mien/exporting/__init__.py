"""From a training run to one ONNX file and its card, proved to say the same. Needs the `train` extra."""
