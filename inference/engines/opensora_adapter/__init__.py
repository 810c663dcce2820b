"""Adapter of the Open-Sora models to the engine port, with its model variants."""
