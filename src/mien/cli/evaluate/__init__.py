"""`mien evaluate`."""
