"""Images to faces with their apparent expression, by an exported model. No PyTorch."""
