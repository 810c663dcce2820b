"""Lookups: who somebody is, what a channel is, and what may be seen there."""
