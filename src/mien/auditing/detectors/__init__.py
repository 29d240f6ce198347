"""One detector per kind of finding."""
