"""Discord, inbound: interactions to calls, and their answers."""
