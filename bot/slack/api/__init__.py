"""Calls to Slack's Web API: clients, rate limits, errors."""
