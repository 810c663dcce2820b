"""SQLite and the files beside it: the truth."""
