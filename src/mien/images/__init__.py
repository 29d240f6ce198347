"""Image files to pixels: decoding, diagnosis of damaged files, crops and gray images."""
