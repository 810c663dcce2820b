"""Platforms, processes and wiring: everything between people and the generation service."""
