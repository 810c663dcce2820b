"""Engine for video models in Diffusers layout, with its registry entries."""
