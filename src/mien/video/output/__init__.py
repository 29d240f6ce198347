"""What a video analysis writes: tables, annotated clips, timelines, windows."""
