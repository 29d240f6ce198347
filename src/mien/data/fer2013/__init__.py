"""FER2013's CSV."""
