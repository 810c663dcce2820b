"""Benchmarks of Open-Sora v1.3: speed, FLOPs, and memory by a dry run."""
