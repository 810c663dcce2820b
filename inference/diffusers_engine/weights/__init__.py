"""Weights on disk: folders in Diffusers layout, their headers, their parts, LoRAs and downloads."""
