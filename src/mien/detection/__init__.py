"""Face detection: BlazeFace, tiling of large images, and the check of a single face."""
