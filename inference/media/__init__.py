"""Frames in, marked and playable files out; untrusted images in, clean ones out."""
