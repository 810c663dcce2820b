"""Measurements of Open-Sora v1.3: its speed, its operations, and its memory by a dry run."""
