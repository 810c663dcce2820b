"""Rows to objects and back: validation, and quarantine for those that cannot be decoded."""
