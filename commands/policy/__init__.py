"""Who may do what, and what is set for a guild."""
