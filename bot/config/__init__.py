"""Configuration: sections, sources and caches."""
