"""Persistence: SQLite database and job files."""
