"""Images in, faces and their apparent expression out, by an exported model. No PyTorch."""
