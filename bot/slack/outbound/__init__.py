"""Slack, outbound: messages and files that Rushes posts."""
