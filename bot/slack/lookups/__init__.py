"""Lookups of people and channels on Slack."""
