"""Socket Mode: WebSockets to Slack."""
