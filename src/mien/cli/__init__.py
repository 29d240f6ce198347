"""The command line: each command reads options, calls the library once and prints."""
