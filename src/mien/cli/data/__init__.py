"""`mien data`."""
