"""What people do on Slack, turned into calls."""
