"""Adapter of diffusers pipelines to the engine port, with its registry entries."""
