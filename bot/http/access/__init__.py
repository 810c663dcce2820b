"""Access to the HTTP API: tokens, limits, and the addresses that requests come from."""
