"""What Rushes posts on Slack."""
