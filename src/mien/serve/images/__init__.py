"""Routes and batching for images."""
