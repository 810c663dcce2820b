"""Engine for models of the Open-Sora architecture."""
