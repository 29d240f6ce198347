"""`mien train`."""
