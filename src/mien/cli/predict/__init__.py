"""`mien predict`."""
