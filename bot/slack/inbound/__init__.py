"""Slack, inbound: listeners, forms, and the calls they make."""
