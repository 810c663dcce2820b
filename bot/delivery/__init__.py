"""Delivery: posts what is in the outbox, and keeps cards of running jobs up to date."""
