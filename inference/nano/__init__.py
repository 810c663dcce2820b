"""The small model that ships: the drawn world that it learned from. See README.md beside this."""
