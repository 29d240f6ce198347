"""Test doubles for users of mien and for its own tests."""
