"""Weights on disk: folders in Diffusers layout, file headers, parts, LoRAs and downloads."""
