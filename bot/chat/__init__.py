"""The interactive chat in a terminal: `rushes chat`."""
