"""Routes and jobs for clips."""
