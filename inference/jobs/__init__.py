"""Durable job queue: preparation, fair order, dispatch, moderation, expiry."""
