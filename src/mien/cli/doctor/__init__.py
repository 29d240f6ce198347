"""`mien doctor`."""
