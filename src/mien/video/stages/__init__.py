"""The stages of a video analysis: detect, track, classify, select."""
