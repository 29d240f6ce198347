"""What `mien` offers to Python beyond photos and clips: models by name, path or run, data by path or table.

Each function does one thing, returns a typed result, prints nothing, and is the whole of one command.
"""

from __future__ import annotations
