"""Worker processes: one per slot for renders, and media processes for untrusted files."""
