"""Exported models: registry, cards, ONNX sessions, test-time augmentation and ensembles."""
