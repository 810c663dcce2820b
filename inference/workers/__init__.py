"""Worker processes: one per GPU, and media processes for untrusted files."""
