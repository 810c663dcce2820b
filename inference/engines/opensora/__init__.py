"""Models of the Open-Sora architecture, behind the engine port."""
