"""Raw frames to a centred, masked, normalised crop."""
