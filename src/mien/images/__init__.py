"""A photo to face crops: decode, detect, crop and align."""
